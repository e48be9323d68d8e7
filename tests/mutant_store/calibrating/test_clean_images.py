"""Clean images of a store: which it takes, and how it reads them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mutant_guard.bank.views import arrays_of
from mutant_guard.errors import DataError
from mutant_guard.store.reader import Store
from mutant_store.calibrating.clean_images import load_images
from mutant_store.datasets import load


@pytest.fixture
def store(published_store: tuple[Path, Store]) -> Store:
    return published_store[1]


def test_images_are_read_as_the_classifier_takes_them(store: Store) -> None:
    found = load_images(store, "digits@test[3:20]")
    data = load("digits@test[3:20]")
    assert arrays_of(found.inputs[:])[0].shape == (17, 1, 8, 8)
    assert arrays_of(found.inputs[:])[0].dtype == np.float32
    np.testing.assert_allclose(
        arrays_of(found.inputs[:])[0], data.images.transpose(0, 3, 1, 2) / 255, atol=1e-6
    )
    assert np.array_equal(found.labels, data.labels)
    assert found.data.range == data.range


@pytest.mark.parametrize("spec", ["digits@train", "digits@train[5:6]"])
def test_images_that_trained_the_classifier_are_refused_by_name(store: Store, spec: str) -> None:
    with pytest.raises(DataError) as caught:
        load_images(store, spec)
    assert str(caught.value).startswith(
        f"'{spec}' holds images that trained this classifier ('digits@train')"
    )
    assert "use images it never saw" in str(caught.value)


@pytest.mark.parametrize("spec", ["digits@holdout", "digits@holdout[299:310]", "digits@holdout[0:1]"])
def test_images_that_filtered_mutants_are_refused_by_name_with_others(store: Store, spec: str) -> None:
    with pytest.raises(DataError) as caught:
        load_images(store, spec)
    assert str(caught.value).startswith(
        f"'{spec}' holds images that filtered the mutants ('digits@holdout[0:300]')"
    )
    assert "use others, such as 'digits@holdout[300:450]'" in str(caught.value)


def test_all_others_are_taken(store: Store) -> None:
    assert len(load_images(store, "digits@holdout[300:600]").labels) == 300
    assert len(load_images(store, "digits@test").labels) > 100


def test_a_copy_of_the_source_under_another_name_is_known_again(store: Store, tmp_path: Path) -> None:
    splits = [load(f"digits@{split}") for split in ("test", "train", "holdout")]
    images, labels = (
        np.concatenate([getattr(part, name) for part in splits]) for name in ("images", "labels")
    )
    np.savez(tmp_path / "copy.npz", x=images, y=labels)
    with pytest.raises(DataError, match="holds images that trained this classifier"):
        load_images(store, f"npz:{tmp_path / 'copy.npz'}")


def test_where_it_is_not_known_what_trained_the_classifier_only_the_filter_counts(store: Store) -> None:
    unknown = store.manifest.model_copy(
        update={"data": store.manifest.data.model_copy(update={"train": None})}
    )
    assert len(load_images(replace(store, manifest=unknown), "digits@train[0:30]").labels) == 30
    with pytest.raises(DataError, match="filtered the mutants"):
        load_images(replace(store, manifest=unknown), "digits@holdout")


def test_labels_are_in_the_classifiers_order_of_classes(store: Store, tmp_path: Path) -> None:
    data = load("digits@test[0:40]")
    names = [str(name) for name in reversed(range(10))]
    np.savez(tmp_path / "reversed.npz", x=data.images, y=9 - data.labels, classes=names)
    found = load_images(store, f"npz:{tmp_path / 'reversed.npz'}")
    images = {image.tobytes(): label for image, label in zip(data.images, data.labels, strict=True)}
    for image, label in zip(found.data.images, found.labels, strict=True):
        assert images[image.tobytes()] == label


def test_classes_the_classifier_does_not_have_are_refused(store: Store, tmp_path: Path) -> None:
    data = load("digits@test[0:40]")
    np.savez(tmp_path / "other.npz", x=data.images, y=np.zeros(40, np.int64), classes=["dog"])
    with pytest.raises(DataError, match="the data has classes the model does not name: dog"):
        load_images(store, f"npz:{tmp_path / 'other.npz'}")


def test_images_of_another_size_are_refused(store: Store, tmp_path: Path) -> None:
    np.savez(tmp_path / "large.npz", x=np.zeros((3, 9, 9), np.uint8), y=np.zeros(3, np.int64))
    with pytest.raises(DataError, match="9×9"):
        load_images(store, f"npz:{tmp_path / 'large.npz'}")
