"""Workspaces: kept results are read, and damaged ones are made anew."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.workspace import Arrays, Workspace


class _Maker:
    """Maker of arrays that counts its calls."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> Arrays:
        self.made += 1
        return {
            "transposed": np.arange(6, dtype=np.uint8).reshape(2, 3).T,
            "flags": np.array([True, False]),
            "empty": np.zeros((0, 4)),
        }


def _same(found: Arrays) -> None:
    assert found["transposed"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["transposed"].dtype == np.uint8
    assert found["flags"].tolist() == [True, False]
    assert found["empty"].shape == (0, 4)


def test_arrays_are_made_once(tmp_path: Path) -> None:
    make, place = _Maker(), Workspace(tmp_path / "not" / "there")
    _same(place.arrays("some", {"seed": 1}, make))
    _same(place.arrays("some", {"seed": 1}, make))
    _same(Workspace(tmp_path / "not" / "there").arrays("some", {"seed": 1}, make))
    assert make.made == 1
    assert [path.name for path in place.path.iterdir()] == [place.file("some", {"seed": 1}).name]


def test_other_inputs_or_names_are_other_files(tmp_path: Path) -> None:
    make, place = _Maker(), Workspace(tmp_path)
    place.arrays("some", {"seed": 1, "of": {"a": 1, "b": [2]}}, make)
    place.arrays("some", {"of": {"b": [2], "a": 1}, "seed": 1}, make)
    assert make.made == 1
    for name, inputs in (("some", {"seed": 2}), ("some", {"seed": "2"}), ("other", {"seed": 2})):
        place.arrays(name, inputs, make)
    place.within("deeper").arrays("some", {"seed": 2}, make)
    assert make.made == 5
    assert len(list(tmp_path.rglob("*.safetensors"))) == 5
    assert place.file("some", {}, ".json").name.startswith("some-")
    assert place.file("some", {}, ".json").suffix == ".json"


@pytest.mark.parametrize("damage", ["nothing", "cut", "header", "garbage"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: str) -> None:
    make, place = _Maker(), Workspace(tmp_path)
    place.arrays("some", {}, make)
    path = place.file("some", {})
    whole = path.read_bytes()
    path.write_bytes({"nothing": b"", "cut": whole[:-3], "header": whole[:20], "garbage": b"x" * 200}[damage])
    _same(place.arrays("some", {}, make))
    assert make.made == 2
    assert path.read_bytes() == whole


def test_what_was_interrupted_leaves_nothing(tmp_path: Path) -> None:
    def killed() -> Arrays:
        raise KeyboardInterrupt

    place = Workspace(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        place.arrays("some", {}, killed)
    assert not list(tmp_path.iterdir())
    _same(place.arrays("some", {}, _Maker()))
