"""Recordings of label changes.

Each step runs once, and the recording holds what the classifier and its mutants answer.
"""

from pathlib import Path

import numpy as np
import pytest
from typer import Exit

from evaluation import label_changes
from evaluation.label_changes import RecordedNetwork
from evaluation.samples import Attack
from mutant_guard.store.reader import load_store
from mutant_store.calibrating.recordings import unpack
from mutant_store.networks import weights
from mutant_store.networks.inference import logits

pytestmark = pytest.mark.slow

ATTACKS = {Attack.fgsm: 40, Attack.deepfool: 30}


@pytest.fixture
def folders(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    subject = RecordedNetwork(
        tiny_model.stem, "digits", rate=0.05, filter_error=0.0, clean=60, attacked=ATTACKS, epsilon=0.3
    )
    monkeypatch.setattr(label_changes, "SUBJECTS", {"tiny": subject})
    monkeypatch.setattr(label_changes, "MODELS", tiny_model.parent)
    monkeypatch.setattr(label_changes, "MUTANTS", 12)
    return tmp_path / "out", tmp_path / "work"


def record(out: Path, work: Path, seeds: list[int]) -> None:
    label_changes.main("tiny", Path("unused"), seed=seeds, out=out, work=work, threads=1)


def test_recordings_are_what_the_store_says(folders: tuple[Path, Path], tiny_model: Path) -> None:
    out, work = folders
    record(out, work, [1])
    found = unpack(out / "tiny-1.safetensors")
    assert set(found) == {"choice", "certification", "clean", "fgsm", "deepfool"}
    assert found["clean"].changes.shape == (60, 12)
    store = load_store(work / "tiny-1")
    with np.load(work / f"{tiny_model.stem}-deepfool.npz") as file:
        pixels, labels = file["x"], file["y"]
    answers = store.session().labels(store.manifest.input.tensor(pixels), np.arange(13))
    assert (found["deepfool"].changes == (answers[:, 1:] != answers[:, :1])).all()
    model = weights.load(tiny_model.with_suffix(".safetensors"))
    fooled = logits(model.network, model.classifier, pixels).argmax(axis=1) != labels
    assert len(fooled) >= 5
    assert fooled.all()
    assert not found["deepfool"].correct.any()


def test_a_run_goes_on_with_what_is_missing(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, work = folders
    record(out, work, [0])
    kept = (out / "tiny-0.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(label_changes, "attack_images", None)  # a second attack would fail
    record(out, work, [0, 1])
    assert (out / "tiny-0.safetensors").stat().st_mtime_ns == kept
    first, second = (unpack(out / f"tiny-{seed}.safetensors")["clean"].changes for seed in (0, 1))
    assert (first != second).any()


def test_an_unknown_name_is_refused(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exit):
        label_changes.main("huge", Path("unused"), out=folders[0], work=folders[1])
    assert "there is no 'huge'; choose one of tiny" in capsys.readouterr().err
