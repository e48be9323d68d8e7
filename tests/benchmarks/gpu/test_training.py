"""The training part on the CPU, with a tiny network in place of GoogLeNet."""

import hashlib
from pathlib import Path

import pytest

from benchmarks.gpu.training import GOOGLENET, Recipe, measure, write_pieces
from evaluation.train import DataSet
from mutant_store.networks import CLASSIFIERS, weights

TINY = Recipe("digits-net", DataSet.digits, "digits-net", 20, 0.1, 90.0)


@pytest.mark.slow
def test_a_network_is_trained_for_a_while_and_its_weights_come_back(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    section = measure(TINY, "digits@train[0:100]", (work, out), "cpu", 1.0, 4096, lambda _: None)
    found = {figure.name: figure for figure in section.figures}
    assert 1 <= found["digits_net_epochs"].value <= 40
    assert 0 < found["digits_net_test_accuracy"].value <= 100
    assert found["digits_net_test_accuracy"].target == 90
    assert found["digits_net_holdout_accuracy"].target is None

    pieces = sorted(out.glob("digits-digits-net.safetensors.*"))
    assert len(pieces) > 1
    whole = tmp_path / "whole.safetensors"
    whole.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    assert weights.load(whole).name == "digits-net"
    notes = section.tables[0].notes
    assert any(hashlib.sha256(whole.read_bytes()).hexdigest() in note for note in notes)
    assert len((out / "digits-digits-net.curve.csv").read_text().splitlines()) == 1 + int(
        found["digits_net_epochs"].value
    )
    assert not list(work.glob("*.checkpoint"))


def test_small_files_are_not_cut_and_old_pieces_go(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    assert write_pieces(path, b"12345", 2) == [f"a.safetensors.{number}" for number in range(3)]
    assert not path.exists()
    assert write_pieces(path, b"12345", 0) == ["a.safetensors"]
    assert [found.name for found in tmp_path.iterdir()] == ["a.safetensors"]
    assert path.read_bytes() == b"12345"


def test_googlenet_is_held_to_the_papers_accuracy() -> None:
    assert GOOGLENET.paper == 90.5
    assert GOOGLENET.network in CLASSIFIERS
    assert GOOGLENET.name == "cifar10-googlenet"
