"""A whole experiment of a minute on the digits: its configuration, and what a run of it left."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from typer.testing import CliRunner, Result

from evaluation.__main__ import app
from evaluation.experiment.material.config import Config
from evaluation.experiment.records.results import Results
from evaluation.workspace import Workspace

_CONFIG = """
title = "Digits, in brief"
model = "MODEL"
data = "digits"
other = "digits@train[0:20]"
paper = "mnist"
normal = 60
wrong = 20
rhos = [1.0, 1.5]
posted = 3
timed = 4

[pools]
operators = ["nai", "ws", "ns"]
rates = [0.02, 0.05]
main_rate = 0.05
seeds = [0, 1]
mutants = 24
calibration = { max_false_alarm = 0.1, clean_mutants = 10, fixed_mutants = 16 }

[[attacks]]
name = "fgsm"
method = "fgsm"
paper = "fgsm"
epsilon = 0.2
samples = 20
attempts = 100

[[attacks]]
name = "pgd 51/255"
method = "pgd"
epsilon = 0.2
step = 0.05
iterations = 5
restarts = 0
samples = 20
attempts = 100

[baselines]
training_images = 300
perturbation_draws = 4
dropout_epochs = 1
dropout_passes = 4
ensemble_members = 2
ensemble_epochs = 1
lid_neighbours = 5
lid_references = 20

[adaptive]
images = 10
epsilons = [0.1]
mutants = 10
attacks = [{ method = "joint", iterations = 5, targets = 1, mutants = 2, judge_every = 5, judge_mutants = 8 }]

[[explanations]]
table = "AUROC"
text = "these are digits"
"""

KINDS = ["normal", "wrong", "fgsm", "pgd 51/255"]
SUSPICIOUS = KINDS[1:]
OPERATORS = ["nai", "ws", "ns"]
"""NS has nothing to exchange at the lower rate."""


def config_text(model: Path) -> str:
    """The configuration for an ONNX file."""
    return _CONFIG.replace("MODEL", str(model))


def run_cli(config: Path, folder: Path, work: Path) -> Result:
    """``python -m evaluation run`` in this process, on one thread; the data are those of scikit-learn."""
    options = ["--out", str(folder), "--work", str(work), "--jobs", "1", "--threads", "1"]
    return CliRunner().invoke(app, ["run", "--config", str(config), *options])


def timeless(results: Results) -> Results:
    """The same without what differs from run to run: times."""
    return results.model_copy(
        update={
            "environment": results.environment.model_copy(update={"seconds": {}}),
            "kinds": [one.model_copy(update={"seconds": None}) for one in results.kinds],
            "costs": [
                one.model_copy(update={"forward_ms": 0.0, "generate_seconds": 0.0}) for one in results.costs
            ],
            "methods": [one.model_copy(update={"milliseconds": None}) for one in results.methods],
        }
    )


@dataclass(frozen=True)
class Ran:
    """What a run left, and what it was told."""

    config: Path
    settings: Config
    folder: Path
    work: Path
    output: str

    @property
    def workspace(self) -> Workspace:
        """Its workspace."""
        return Workspace(self.work)

    @property
    def results(self) -> Results:
        """Its ``results.json``."""
        return Results.model_validate_json((self.folder / "results.json").read_bytes())

    def kept(self, folder: str, name: str) -> dict[str, NDArray[np.uint8]]:
        """The arrays of the one file of a name, whatever its digest."""
        (path,) = sorted((self.work / folder).glob(f"{name.replace('/', '_')}-{12 * '[0-9a-f]'}.safetensors"))
        return load_file(path)

    def changes(self, operator: str, rate: float, seed: int, kind: str) -> NDArray[np.bool_]:
        """Kept label changes of a kind under a pool, bool [images, mutants]."""
        packed = self.kept("recordings", f"{operator}-{rate:g}-{seed}-{kind}")["changes"]
        return np.unpackbits(packed, axis=1)[:, : self.settings.pools.mutants].astype(np.bool_)

    def rates(self, operator: str, rate: float, kind: str) -> NDArray[np.float64]:
        """Label change rates of a kind, float64 [pools, images]."""
        each = [self.changes(operator, rate, seed, kind) for seed in self.settings.pools.seeds]
        return np.stack([changes.mean(axis=1) for changes in each])
