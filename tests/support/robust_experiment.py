"""A whole experiment of seconds on the digits, with a robust mutant before retrained ones."""

from pathlib import Path

OPERATOR = "mixed:robust,retrain"

_CONFIG = """
title = "Digits, a robust mutant first"
model = "MODEL"
data = "digits"
normal = 60
wrong = 20
rhos = [1.0]
posted = 3
timed = 4
adaptive_report = "digits-robust"
targets = [{ figure = "detected at 1 %", method = "doubt mixed:robust,retrain", kind = "fgsm", reach = 0.1 }]

[pools]
operators = ["mixed:robust,retrain"]
rates = [0.05]
main_rate = 0.05
seeds = [0]
mutants = 4
calibration = { max_false_alarm = 0.1 }

[pools.retraining]
share = 0.5
epochs = 1
adversarial_images = 60

[pools.robust]
method = "fast"
epsilon = 0.1
epochs = 3

[[attacks]]
name = "fgsm"
method = "fgsm"
epsilon = 0.2
samples = 20
attempts = 100
"""


def robust_config_text(model: Path) -> str:
    """Return the configuration for an ONNX file."""
    return _CONFIG.replace("MODEL", str(model))
