"""A whole experiment of a minute on the digits, with mutants that are trained again."""

from pathlib import Path

_CONFIG = """
title = "Digits, mutants trained again"
model = "MODEL"
data = "digits"
normal = 60
wrong = 20
rhos = [1.0]
posted = 3
timed = 4
against = ["softmax confidence", "LCR nai", "deep ensemble"]
targets = [
    { figure = "detected at 5 %", method = "doubt retrain", kind = "fgsm", prototype = 0.1, reach = 0.2 },
    { figure = "mutants", method = "calibrated retrain", kind = "normal", reach = 0.5 },
    { figure = "evading", method = "doubt retrain", kind = "joint", knowledge = "method", epsilon = 0.1 },
]

[pools]
operators = ["retrain", "nai"]
rates = [0.05]
main_rate = 0.05
seeds = [0, 1]
mutants = 24
sizes = { retrain = 4 }
few = 2
calibration = { max_false_alarm = 0.1, fixed_mutants = 16 }

[pools.retraining]
share = 0.5
epochs = 2
adversarial_images = 100

[[attacks]]
name = "fgsm"
method = "fgsm"
epsilon = 0.2
samples = 20
attempts = 100

[baselines]
only = ["softmax confidence", "deep ensemble"]
training_images = 300
ensemble_members = 5
ensemble_epochs = 1
ensemble_temperatures = true

[adaptive]
images = 10
epsilons = [0.1]
mutants = 4
attacks = [
    { method = "joint", iterations = 5, targets = 1, mutants = 4, judge_mutants = 4, judge = "doubts" },
]
"""

KINDS = ["normal", "wrong", "fgsm"]


def retrain_config_text(model: Path) -> str:
    """Return the configuration for an ONNX file."""
    return _CONFIG.replace("MODEL", str(model))
