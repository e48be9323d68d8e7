"""Square attack on answers: bounded in questions and size, and better with more of them."""

import numpy as np
import pytest

from evaluation.adaptive.strongest.hunt import Hunt
from evaluation.adaptive.strongest.judge import Judged, Pixels
from evaluation.adaptive.strongest.query_attack import square_attack
from evaluation.adaptive.strongest.stored_guard import ServedGuard
from mutant_store.datasets import ImageData

pytestmark = pytest.mark.slow


class Counted:
    """The guard, and how often it was asked about an image."""

    def __init__(self, guard: ServedGuard) -> None:
        self.guard, self.policies, self.asked = guard, guard.policies, 0

    def judge(self, pixels: Pixels) -> Judged:
        raise AssertionError("the attack is to use the whole answer")

    def doubted(self, pixels: Pixels) -> tuple[Judged, np.ndarray, np.ndarray]:
        self.asked += len(pixels)
        return self.guard.doubted(pixels)


def test_it_evades_within_epsilon_and_its_questions(served: ServedGuard, attacked: ImageData) -> None:
    evading = []
    for queries in (5, 120):
        guard = Counted(served)
        hunt = Hunt(guard, attacked.images, attacked.labels)
        square_attack(guard, hunt, 0.3, queries, seed=0)
        assert guard.asked == hunt.spent.sum()
        assert hunt.spent.max() <= queries
        assert np.abs(hunt.found.astype(int) - attacked.images.astype(int)).max() <= int(0.3 * 255)
        answers = served.judge(hunt.found[0])
        assert (answers.cleared[0] & (answers.labels != attacked.labels))[hunt.evaded[0]].all()
        evading.append(hunt.evaded[1].mean())
    assert evading[1] > evading[0]
    assert evading[1] > 0.2
