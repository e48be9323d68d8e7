"""Images with their labels and sources."""

import numpy as np

from evaluation.sample_set import SampleSet


def _set(kind: str = "fgsm") -> SampleSet:
    images = np.arange(5 * 2 * 2, dtype=np.uint8).reshape(5, 2, 2, 1)
    return SampleSet(kind, images, np.array([3, 1, 4, 1, 5]), np.array([10, 20, 30, 40, 50]))


def test_the_first_images_keep_all_that_is_theirs() -> None:
    part = _set().head(2)
    assert (part.kind, len(part), len(_set())) == ("fgsm", 2, 5)
    assert part.images.tolist() == _set().images[:2].tolist()
    assert part.labels.tolist() == [3, 1]
    assert part.sources.tolist() == [10, 20]
    assert len(_set().head(99)) == 5


def test_images_and_labels_are_told_apart_and_nothing_else_is() -> None:
    one = _set()
    assert len(one.digest) == 64
    assert _set("pgd").digest == one.digest
    assert SampleSet(one.kind, one.images, one.labels, one.sources + 1).digest == one.digest
    assert SampleSet(one.kind, one.images, one.labels + 1, one.sources).digest != one.digest
    assert (
        SampleSet(one.kind, np.bitwise_xor(one.images, np.uint8(1)), one.labels, one.sources).digest
        != one.digest
    )
    assert one.head(4).digest != one.digest
    order = np.array([1, 0, 2, 3, 4])
    turned = SampleSet(one.kind, one.images[order], one.labels[order], one.sources[order])
    assert turned.digest != one.digest
