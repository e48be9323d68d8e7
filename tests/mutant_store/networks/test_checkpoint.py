"""Checkpoints of a training run."""

import os
import pickle
from pathlib import Path

import torch

from mutant_store.networks.checkpoint import Checkpoint, load

SETTINGS = {"seed": 0, "data": {"start": 3}}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    assert load(path, SETTINGS) == (None, "")
    Checkpoint(SETTINGS, 2, {"weight": torch.ones(3)}, {"lr": 0.1}).save(path)
    found, reason = load(path, SETTINGS)
    assert found is not None
    assert (found.epochs, found.optimizer, reason) == (2, {"lr": 0.1}, "")
    assert torch.equal(found.model["weight"], torch.ones(3))


def test_other_settings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    Checkpoint(SETTINGS, 2, {}, {}).save(path)
    assert load(path, {"seed": 1, "data": {"start": 4}}) == (None, f"{path} was made with another seed, data")


class _Harmful:
    """Object that makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.place),)


def test_damaged_and_foreign_files_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    Checkpoint(SETTINGS, 2, {"weight": torch.ones(3)}, {}).save(path)
    whole = path.read_bytes()
    for content in (
        b"",
        b"text",
        whole[: len(whole) // 2],
        pickle.dumps({"epochs": 1}, protocol=2),
        pickle.dumps(_Harmful(tmp_path / "harm"), protocol=2),
    ):
        path.write_bytes(content)
        assert load(path, SETTINGS) == (None, f"{path} is damaged")
    torch.save({"epochs": 1}, path)
    assert load(path, SETTINGS) == (None, f"{path} is damaged")
    assert not (tmp_path / "harm").exists()
