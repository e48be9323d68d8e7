"""Sample images, clean and adversarial."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from evaluation.samples import app
from mutant_store.datasets import load
from mutant_store.networks import weights
from mutant_store.networks.inference import logits


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_clean_images_are_written_as_they_are(tmp_path: Path) -> None:
    result = run("digits", "--out", str(tmp_path), "--count", "3")
    assert result.exit_code == 0
    assert "Wrote 3 images of digits@test" in result.output
    data = load("digits@test[0:3]")
    for position, (pixels, label) in enumerate(zip(data.images, data.labels, strict=True)):
        with Image.open(tmp_path / f"digits-test-{position}-label-{label}.png") as image:
            assert np.array_equal(np.asarray(image), pixels[:, :, 0])
    assert len(list(tmp_path.iterdir())) == 3


def test_a_slice_keeps_its_positions_and_a_short_one_its_end(tmp_path: Path) -> None:
    assert run("digits@holdout[595:]", "--out", str(tmp_path)).exit_code == 0
    positions = sorted(int(path.name.split("-")[2]) for path in tmp_path.iterdir())
    assert positions == [595, 596, 597, 598, 599]


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["pgd", "deepfool", "fgsm", "cw"])
def test_adversarial_files_fool_the_classifier(tmp_path: Path, tiny_model: Path, attack: str) -> None:
    attacked = ["--attack", attack, "--model", str(tiny_model), "--epsilon", "0.3"]
    result = run("digits", "--out", str(tmp_path), "--count", "20", *attacked)
    assert result.exit_code == 0, result.output
    model = weights.load(tiny_model.with_suffix(".safetensors"))
    files = sorted(tmp_path.glob(f"digits-test-*-{attack}-label-*.png"))
    assert re.search(rf"Wrote {len(files)} {attack} images", result.output)
    assert len(files) >= 5
    assert len(list(tmp_path.iterdir())) == 20 + len(files)
    for path in files:
        with Image.open(path) as image:
            pixels = np.asarray(image)[np.newaxis, :, :, np.newaxis]
        label = int(path.stem.rpartition("-")[2])
        assert logits(model.network, model.classifier, pixels).argmax() != label
        with Image.open(tmp_path / path.name.replace(f"-{attack}", "")) as image:
            clean = np.asarray(image)[np.newaxis, :, :, np.newaxis]
        assert logits(model.network, model.classifier, clean).argmax() == label


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--attack", "fgsm"], "an attack needs a classifier"),
        (["digits", "--attack", "fgsm", "--model", "nowhere.onnx"], "there is no nowhere.safetensors"),
        (["digits@everything"], "unknown split"),
    ],
)
def test_mistakes_are_told_without_a_traceback(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run(*arguments, "--out", str(tmp_path))
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert message in " ".join(result.output.replace("│", " ").split())


@pytest.mark.slow
def test_the_builders_own_attack_does_without_the_toolboxes(tmp_path: Path, tiny_model: Path) -> None:
    told = ["digits", "--out", str(tmp_path), "--count", "8", "--attack", "pgd", "--epsilon", "0.3"]
    program = (
        "import sys; sys.modules['art'] = sys.modules['foolbox'] = None; from evaluation.samples import app; "
        f"app({[*told, '--model', str(tiny_model)]!r})"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
    assert list(tmp_path.glob("*-pgd-*.png"))
