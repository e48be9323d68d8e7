"""The training command, end to end."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
from typer.testing import CliRunner, Result

from evaluation.train import app
from mutant_guard.store import model_card
from mutant_store.datasets import load
from mutant_store.networks import CLASSIFIERS
from mutant_store.networks.inference import normalised
from tests.support.training import interrupt

pytestmark = pytest.mark.slow

RunTrain = Callable[..., Result]


def timeless(model: Path) -> list[list[str]]:
    """The curve beside a model without its last column, the seconds."""
    rows = model.with_suffix(".curve.csv").read_text().splitlines()
    return [row.split(",")[:-1] for row in rows]


def test_the_curve_is_logged(tiny_model: Path) -> None:
    header, *rows = timeless(tiny_model)
    assert header == ["epoch", "loss", "accuracy", "holdout"]
    assert [int(row[0]) for row in rows] == list(range(1, 9))
    assert float(rows[-1][1]) < float(rows[0][1])
    assert all(0 <= float(share) <= 1 for row in rows for share in row[2:])


def test_the_model_says_what_it_was_trained_on(tiny_model: Path) -> None:
    proto = onnx.load(tiny_model)
    card = model_card.parse({entry.key: entry.value for entry in proto.metadata_props}[model_card.KEY])
    assert card.train_data == load("digits@train[0:100]").range
    assert (card.mean, card.std, card.layout) == ([0.3053], [0.3761], "nchw")
    assert card.classes == list("0123456789")
    with safetensors.safe_open(tiny_model.with_suffix(".safetensors"), framework="np") as file:
        assert json.loads(file.metadata()[model_card.KEY]) == {"model": "digits-net", "classes": 10}


def test_the_model_learned_something(tiny_model: Path) -> None:
    session = onnxruntime.InferenceSession(tiny_model.read_bytes(), providers=["CPUExecutionProvider"])
    data = load("digits@holdout")
    (logits,) = session.run(["logits"], {"images": normalised(CLASSIFIERS["digits-net"], data.images)})
    assert (logits.argmax(axis=1) == data.labels).mean() > 0.5


def test_the_command_reports_and_tidies_up(tmp_path: Path, run_train: RunTrain, tiny_model: Path) -> None:
    result = run_train(tmp_path / "again.onnx")
    assert "100 images of digits@train[0:100], 8 epochs, on cpu" in result.output
    assert result.output.count("holdout") == 9
    last = result.output.splitlines()[-1]
    for part in ("of 600", "test ", "of 297", "again.onnx", "again.safetensors"):
        assert part in last
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.curve.csv",
        "again.onnx",
        "again.safetensors",
    ]
    # The same seed, the same bytes.
    assert (tmp_path / "again.onnx").read_bytes() == tiny_model.read_bytes()


def test_an_interrupted_run_ends_in_the_same_model(
    tmp_path: Path, run_train: RunTrain, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tiny.onnx"
    with monkeypatch.context() as patch:
        interrupt(patch, epoch=6, step=3)
        stopped = run_train(out)
    assert stopped.exit_code == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.checkpoint", "tiny.curve.csv"]
    resumed = run_train(out)
    assert "Going on after epoch 5" in resumed.output
    assert "epoch 5/8" not in resumed.output
    assert "epoch 6/8" in resumed.output
    for path in (out, out.with_suffix(".safetensors")):
        assert path.read_bytes() == (tiny_model.parent / path.name).read_bytes()
    assert timeless(out) == timeless(tiny_model)
    assert not out.with_suffix(".checkpoint").exists()


def test_a_run_killed_before_its_export_only_exports(
    tmp_path: Path, run_train: RunTrain, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("mutant_store.networks.weights.write_atomically", full)
        failed = run_train(tmp_path / "tiny.onnx")
    assert failed.exit_code == 1
    assert "No space left on device" in failed.output
    resumed = run_train(tmp_path / "tiny.onnx")
    assert "Going on after epoch 8" in resumed.output
    assert "loss" not in resumed.output
    assert (tmp_path / "tiny.onnx").read_bytes() == tiny_model.read_bytes()


def test_a_checkpoint_of_other_settings_is_not_gone_on_from(
    tmp_path: Path, run_train: RunTrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tiny.onnx"
    with monkeypatch.context() as patch:
        interrupt(patch, 2, 1)
        run_train(out)
    result = run_train(out, "--seed", "1", "--batch-size", "50", "--epochs", "1", "--bf16", "--threads", "2")
    assert "tiny.checkpoint was made with another epochs, batch_size, seed, bf16" in result.output
    assert "epoch 1/1" in result.output
    # Trained in bfloat16 and another memory format, exported like any other.
    assert [node.op_type for node in onnx.load(out).graph.node].count("Conv") == 2


def test_no_more_epochs_are_trained_than_fit_into_the_minutes(tmp_path: Path, run_train: RunTrain) -> None:
    result = run_train(tmp_path / "tiny.onnx", "--minutes", "0", "--no-onnx")
    assert result.exit_code == 0, result.output
    assert "at most 8 epochs" in result.output
    assert [row[0] for row in timeless(tmp_path / "tiny.onnx")] == ["epoch", "1"]
    result = run_train(tmp_path / "tiny.onnx", "--minutes", "60", "--no-onnx")
    assert len(timeless(tmp_path / "tiny.onnx")) == 9


def test_data_without_splits_trains_without_reports(tmp_path: Path, run_train: RunTrain) -> None:
    data = load("digits@train[0:100]")
    np.savez(tmp_path / "set.npz", x=data.images, y=data.labels)
    result = run_train(tmp_path / "tiny.onnx", "--data", f"npz:{tmp_path}/set.npz", "--epochs", "1")
    assert result.exit_code == 0
    assert "holdout" not in result.output
    assert timeless(tmp_path / "tiny.onnx")[1][-1] == ""
    assert "test " not in result.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "vgg"], "'vgg' is not registered; it is one of digits-net, lenet, resnet20, googlenet"),
        (["--out", "model.pt"], "must end in .onnx"),
        (["--data", "digits@train[0:5000]"], "holds 900 images"),
        (["--data", "npz:nowhere.npz"], "there is no 'nowhere.npz'"),
        (["--model", "lenet"], "takes exactly 28×28"),
        (["--device", "cuda"], "torch sees no GPU"),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    tmp_path: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = CliRunner().invoke(app, ["digits", "--out", str(tmp_path / "m.onnx"), *options])
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert message in " ".join(result.output.replace("│", " ").split())


def test_every_option_is_explained() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "evaluation.train", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    for option in ("--model", "--data", "--out", "--epochs", "--minutes", "--batch-size", "--learning-rate", "--seed",
                   "--device", "--threads", "--bf16", "--onnx"):  # fmt: skip
        assert option in run.stdout
    assert run.stderr == ""
