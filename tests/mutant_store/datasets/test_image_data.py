"""Parts of a set of images."""

import numpy as np
import pytest

from mutant_guard.errors import DataError
from mutant_guard.store.model_card import DataRange
from mutant_store.datasets import ImageData, load


@pytest.fixture
def data() -> ImageData:
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    where = DataRange(spec="npz:f.npz@train[5:15]", source="abc", start=25, stop=35)
    return ImageData(images, np.arange(10), tuple("0123456789"), where)


def test_a_part_knows_its_place_in_the_source(data: ImageData) -> None:
    part = data.part(2, 6).part(1, None)
    assert part.images.ravel().tolist() == part.labels.tolist() == [3, 4, 5]
    assert part.range == DataRange(spec="npz:f.npz@train[8:11]", source="abc", start=28, stop=31)
    assert len(part) == 3


def test_the_spec_of_a_part_loads_the_part() -> None:
    part = load("digits@test[100:200]").part(10, 20)
    again = load(part.range.spec)
    assert np.array_equal(part.images, again.images)
    assert part.range == again.range


@pytest.mark.parametrize(("start", "stop"), [(0, 11), (4, 4), (6, 5), (10, None), (-1, 3)])
def test_a_part_that_is_not_there_is_refused(data: ImageData, start: int, stop: int | None) -> None:
    with pytest.raises(DataError, match=r"npz:f.npz@train\[5:15\] holds 10 images"):
        data.part(start, stop)
