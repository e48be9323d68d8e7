"""A whole experiment of a minute on the digits: its configuration, and the files of a run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from typer.testing import CliRunner, Result

from evaluation.__main__ import app
from evaluation.experiment.material.config import Config, read_config
from evaluation.experiment.records.results import Results
from evaluation.workspace import Workspace
from tests.support.kept import kept

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
"""Operators of the experiment. NS has nothing to exchange at the lower rate."""


def config_text(model: Path) -> str:
    """Return the configuration for an ONNX file."""
    return _CONFIG.replace("MODEL", str(model))


def run_cli(config: Path, folder: Path, work: Path) -> Result:
    """Run ``python -m evaluation run`` in this process, on one thread.

    The data are scikit-learn's.
    """
    options = ["--out", str(folder), "--work", str(work), "--jobs", "1", "--threads", "1"]
    return CliRunner().invoke(app, ["run", "--config", str(config), *options])


def timeless(results: Results) -> Results:
    """Return the results without times, which differ from run to run."""
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
    """Files of a run, and its arguments."""

    config: Path
    settings: Config
    folder: Path
    work: Path
    output: str

    @property
    def workspace(self) -> Workspace:
        """Workspace of the run."""
        return Workspace(self.work)

    @property
    def results(self) -> Results:
        """Content of the run's ``results.json``."""
        return Results.model_validate_json((self.folder / "results.json").read_bytes())

    def kept(self, folder: str, name: str) -> dict[str, NDArray[np.uint8]]:
        """Return the arrays of the one file with this name, whatever its digest."""
        (path,) = sorted((self.work / folder).glob(f"{name.replace('/', '_')}-{12 * '[0-9a-f]'}.safetensors"))
        return load_file(path)

    def changes(self, operator: str, rate: float, seed: int, kind: str) -> NDArray[np.bool_]:
        """Return the kept label changes of a kind under a pool, bool [images, mutants]."""
        packed = self.kept("recordings", f"{operator}-{rate:g}-{seed}-{kind}")["changes"]
        return np.unpackbits(packed, axis=1)[:, : self.settings.pools.mutants].astype(np.bool_)

    def rates(self, operator: str, rate: float, kind: str) -> NDArray[np.float64]:
        """Return the label change rates of a kind, float64 [pools, images]."""
        each = [self.changes(operator, rate, seed, kind) for seed in self.settings.pools.seeds]
        return np.stack([changes.mean(axis=1) for changes in each])


def run_experiment(name: str, text: str) -> Ran:
    """Run an experiment once for all tests and processes, and keep what it leaves.

    Args:
        name: name of the configuration file.
        text: the configuration.
    """

    def make(folder: Path) -> None:
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
        threads = torch.get_num_threads()
        result = run_cli(folder / f"{name}.toml", folder / "report", folder / "work")
        torch.set_num_threads(threads)
        assert result.exit_code == 0, result.output
        (folder / "output").write_text(result.stdout, encoding="utf-8")

    folder = kept(f"experiment-{name}", make)
    config, output = folder / f"{name}.toml", (folder / "output").read_text(encoding="utf-8")
    return Ran(config, read_config(config), folder / "report", folder / "work", output)
