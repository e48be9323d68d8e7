"""The committed weights of the robust mutant that the reports on CIFAR-10 attack."""

import json
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from evaluation.experiment.records.results import Results
from mutant_guard.store import model_card
from mutant_store.datasets import load
from mutant_store.networks import CLASSIFIERS
from mutant_store.robust.mirror import Mirrored

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "models/cifar10-resnet20-robust.safetensors"


def test_they_are_those_of_the_report() -> None:
    report = ROOT / "reports/cifar10-robust-detection/results.json"
    results = Results.model_validate_json(report.read_bytes())
    ((mutant,),) = [pool.robust for pool in results.trained]
    with safetensors.safe_open(WEIGHTS, framework="pt") as file:
        said = json.loads(file.metadata()[model_card.KEY])
    assert said == {"accuracy": mutant.accuracy, "robust_accuracy": mutant.robust_accuracy}
    assert (mutant.network, mutant.settings["mirror"], mutant.settings["ensemble"]) == ("resnet20", True, 1)


def test_they_are_as_accurate_as_the_page_says(data_dir: Path) -> None:
    spec = CLASSIFIERS["resnet20"]
    network = spec.build(10)
    network.load_state_dict(safetensors.torch.load_file(WEIGHTS))
    data = load(f"imagefolder:{data_dir / 'cifar10'}@test[0:1000]")
    mean, std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))
    pixels = torch.from_numpy(data.images).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        labels = Mirrored(network.eval())((pixels - mean) / std).argmax(1).numpy()
    assert abs((labels == data.labels).mean() - 0.8519) < 0.025
