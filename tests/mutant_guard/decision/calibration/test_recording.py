import numpy as np
import pytest
from scipy import stats

from mutant_guard.decision.calibration.recording import Recording
from tests.mutant_guard.decision.clean_images import recording


def test_counts_are_the_label_changes_of_every_image() -> None:
    changes = np.array([[True, False, True], [False] * 3, [True] * 3, [False, False, True]])
    found = Recording(changes, np.array([True, False, True, True]))
    assert found.pool == 3
    assert found.counts.tolist() == [2, 0, 3, 1]
    assert found.counts.dtype == np.int64


def test_only_correct_leaves_the_other_images_out() -> None:
    changes = np.array([[True, False], [False, False], [True, True]])
    found = Recording(changes, np.array([True, False, True])).only_correct()
    assert found.changes.tolist() == [[True, False], [True, True]]
    assert found.correct.tolist() == [True, True]


def test_shuffling_keeps_every_image_its_label_changes_and_the_recording_as_it_is() -> None:
    part = recording(50, 0)
    before = part.changes.copy()
    shuffled = part.shuffled(3)
    assert shuffled.sum(axis=1).tolist() == part.counts.tolist()
    assert (shuffled != before).any()
    assert (part.changes == before).all()


def test_shuffling_is_reproducible_and_depends_on_the_seed() -> None:
    part = recording(50, 0)
    assert part.shuffled(1).tolist() == part.shuffled(1).tolist()
    assert part.shuffled(1).tolist() != part.shuffled(2).tolist()


@pytest.mark.parametrize("place", [0, 4])
def test_every_image_meets_the_mutants_in_a_uniform_order_of_its_own(place: int) -> None:
    images, pool = 6000, 6
    changes = np.zeros((images, pool), dtype=np.bool_)
    changes[:, place] = True
    places = Recording(changes, np.ones(images, np.bool_)).shuffled(0).argmax(axis=1)
    alone = np.bincount(places, minlength=pool)
    following = np.bincount(places[:-1] * pool + places[1:], minlength=pool**2)
    assert stats.chisquare(alone).pvalue > 1e-3
    assert stats.chisquare(following).pvalue > 1e-3
