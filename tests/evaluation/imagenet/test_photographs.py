"""Photographs are divided once, and none both calibrates and is tested."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.imagenet.photographs import CALIBRATION, SIDE, TEST, Photographs
from mutant_guard.errors import DataError
from mutant_store.datasets import load


def test_photographs_are_divided_and_read_as_image_folders(archive: Path, tmp_path: Path) -> None:
    found = Photographs.unpacked(archive, tmp_path / "work", 3, seed=1)
    assert sorted([*found.calibrating, *found.tested]) == [0, 1, 2, 3]
    assert len(found.tested) == 1
    for part, classes in ((CALIBRATION, found.calibrating), (TEST, found.tested)):
        data = load(found.spec(part), shape=(224, 224, 3), resize="crop:256")
        assert list(data.class_names) == [found.wnids[number] for number in sorted(classes)]
    other = Photographs.unpacked(archive, tmp_path / "work", 3, seed=2)
    assert other.folder != found.folder


def test_squares_are_the_centres_of_the_photographs(archive: Path, tmp_path: Path) -> None:
    found = Photographs.unpacked(archive, tmp_path / "work", 1, seed=0)
    squares = found.squares(np.arange(4))
    assert squares.shape == (4, SIDE, SIDE, 3)
    with Image.open(found.files[0]) as file:
        assert (squares[0] == np.asarray(file)[:, 56:344]).all()


def test_other_archives_are_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 cannot calibrate"):
        Photographs.unpacked(archive, tmp_path / "work", 4, seed=0)
    (archive / "classes.txt").write_text("ant\nbee\n")
    with pytest.raises(DataError, match="one photograph of each class"):
        Photographs.unpacked(archive, tmp_path / "work", 1, seed=0)
    with pytest.raises(DataError, match="no photographs that can be read"):
        Photographs.unpacked(tmp_path / "nowhere", tmp_path / "work", 1, seed=0)
