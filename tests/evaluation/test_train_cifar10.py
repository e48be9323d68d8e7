"""The training command on the networks for CIFAR-10, for a few batches of noise."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from evaluation.train import app
from evaluation.training.trainer import Settings, Trainer
from mutant_store.datasets import load
from mutant_store.graph.classifier import load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers, neuron_count
from mutant_store.networks import CLASSIFIERS, weights
from tests.support.training import interrupt

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ten classes with noise of CIFAR-10's size: 20 images to train on, 10 held out."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, count in (("train", 2), ("val", 1)):
        for label in range(10):
            place = folder / split / f"class{label}"
            place.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return folder


def test_a_killed_run_goes_on_to_the_same_network(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "resnet20"
    spec, out = f"imagefolder:{images}@train[0:8]", tmp_path / f"{name}.onnx"

    def train() -> Result:
        options = ["--data", spec, "--model", name, "--epochs", "2", "--batch-size", "4", "--no-bf16"]
        few = ["--device", "cpu", "--threads", "1", "--out", str(out)]
        return CliRunner().invoke(app, ["cifar10", *options, *few], catch_exceptions=False)

    with monkeypatch.context() as patch:
        interrupt(patch, epoch=2, step=2)
        assert train().exit_code == 130
    resumed = train()
    assert resumed.exit_code == 0, resumed.output
    assert "Going on after epoch 1" in resumed.output
    rows = (tmp_path / f"{name}.curve.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2"]

    found = find_layers(Graph(load_classifier(out).model))
    assert (len(found), neuron_count(found)) == (22, 794)
    assert {node.op_type for node in onnx.load(out).graph.node}.isdisjoint({"BatchNormalization", "Dropout"})

    settings = Settings(name, epochs=2, batch_size=4, learning_rate=0.1, seed=0, bf16=False, device="cpu")
    whole = Trainer(CLASSIFIERS[name], load(spec), settings)
    whole.run_epoch()
    whole.run_epoch()
    state = weights.load(out.with_suffix(".safetensors")).network.state_dict()
    assert all(torch.equal(state[key], value) for key, value in whole.model.state_dict().items())
