"""MNIST and CIFAR-10 with their well-known contents."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mutant_store.datasets import load
from mutant_store.datasets.sources.image_tree import walk

pytestmark = pytest.mark.slow


def test_mnist_has_the_usual_images(data_dir: Path) -> None:
    train, holdout, test = (load(f"mnist:{data_dir}/mnist@{split}") for split in ("train", "holdout", "test"))
    assert [len(part) for part in (train, holdout, test)] == [55_000, 5_000, 10_000]
    assert train.images.shape[1:] == (28, 28, 1)
    assert np.bincount(np.concatenate([train.labels, holdout.labels])).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert train.range.source == holdout.range.source != test.range.source
    assert not train.range.overlaps(holdout.range)
    assert np.bincount(holdout.labels).min() > 400
    pixels = np.concatenate([train.images, holdout.images]) / 255
    assert np.isclose(pixels.mean(), 0.1307, atol=1e-4)
    assert np.isclose(pixels.std(), 0.3081, atol=1e-4)


def test_cifar_has_its_test_images(data_dir: Path) -> None:
    test = load(f"imagefolder:{data_dir}/cifar10@test")
    assert test.images.shape == (10_000, 32, 32, 3)
    assert test.class_names[:4] == ("airplane", "automobile", "bird", "cat")
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert np.bincount(test.labels[:1000]).min() > 60


def test_cifar_has_its_training_images(data_dir: Path) -> None:
    # Count by name only, as decoding takes long. A tenth of the 50,000 is held out, as of any
    # source.
    classes = Counter(parts[-2] for parts, _ in walk(data_dir / "cifar10/train.tar.xz"))
    assert set(classes.values()) == {5_000}
    assert len(classes) == 10
