"""Digits from scikit-learn."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mutant_guard.errors import DataError
from mutant_store.datasets import load


def test_the_splits_are_disjoint_and_together_everything() -> None:
    parts = [load(f"digits@{split}") for split in ("test", "holdout", "train")]
    assert [len(part) for part in parts] == [297, 600, 900]
    assert [(part.range.start, part.range.stop) for part in parts] == [(0, 297), (297, 897), (897, 1797)]
    assert len({part.range.source for part in parts}) == 1
    labels = np.concatenate([part.labels for part in parts])
    assert np.bincount(labels).tolist() == np.bincount(load_digits().target).tolist()


def test_grey_values_fill_the_byte_range() -> None:
    data = load("digits@train")
    assert data.images.shape == (900, 8, 8, 1)
    assert sorted(set(data.images.ravel().tolist())) == [round(value * 255 / 16) for value in range(17)]
    assert data.class_names == tuple("0123456789")


def test_the_order_stays_what_it_was() -> None:
    data = load("digits@test[0:10]")
    assert data.labels.tolist() == [2, 3, 0, 7, 1, 4, 5, 7, 1, 5]
    assert data.range.source == "6fb6d0c302a82e25feb7865ee753d709856830fcb8b11904ec83a2524fb26d7c"


def test_a_split_is_needed() -> None:
    with pytest.raises(DataError, match="digits@train, digits@holdout or digits@test"):
        load("digits")
