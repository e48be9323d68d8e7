"""Shape of the calibrated test from clean images alone: its hypotheses and its error bounds."""

from dataclasses import dataclass
from functools import cached_property
from math import exp, log

import numpy as np

from mutant_guard.decision.calibration.certification import CalibrationError
from mutant_guard.decision.sequential.boundaries import Counts
from mutant_guard.decision.sequential.characteristic import Probabilities, ends
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt, Mixture

# Step of the search for the log of β, and number of steps down.
_STEP, _STEPS = 0.05, 280
# Most times that α is halved.
_HALVINGS = 10


@dataclass(frozen=True, eq=False)
class CleanCounts:
    """Label change counts of clean images over the whole pool.

    Attributes:
        pool: number of mutants.
        correct: int64 [images], counts of the images that the original classifies correctly.
        everyone: int64 [images], counts of all images, like production traffic.
    """

    pool: int
    correct: Counts
    everyone: Counts

    def rate_at_least(self, count: int) -> float:
        """Return the share of rightly classified images with at least this many label changes."""
        return float((self.correct >= count).mean())


@dataclass(frozen=True, eq=False)
class Shape:
    """Family of tests, one for each threshold; ``high`` keeps its ratio to the threshold.

    Attributes:
        clean: counts of clean images; those below the threshold are a test's normal hypothesis.
        threshold: label change count at which the shape was chosen.
        high: label change count from which inputs must be caught at that threshold.
        alpha: bound on misses of all tests.
        beta: bound on false alarms of the tests up to that threshold.
    """

    clean: CleanCounts
    threshold: int
    high: int
    alpha: float
    beta: float

    def test(self, threshold: int) -> FinitePoolSprt:
        """Return the test around another threshold, 1 to the pool.

        Normal counts are below the threshold, ``high`` is not. Above the shape's own threshold β
        falls, down to its least value at twice that threshold. So a higher threshold raises fewer
        alarms, even where ``high`` cannot grow any more, and certification may begin at the
        highest.
        """
        pool = self.clean.pool
        high = min(-(-self.high * threshold // self.threshold), pool)
        share = min(max(threshold / self.threshold - 1, 0.0), 1.0)
        beta = exp((1 - share) * log(self.beta) - share * _STEP * _STEPS)
        return FinitePoolSprt(pool, Mixture.of_images(self.clean.correct, threshold), high, self.alpha, beta)


def choose_shape(counts: CleanCounts, *, false_alarm: float, max_miss: float, clean_mutants: float) -> Shape:
    """Choose the sharpest test that clean images can pay for.

    The threshold is the least count that at most ``false_alarm`` of the rightly classified images
    reach. The test around it has the smallest ``high`` (from which inputs are caught with
    probability 1 − α) for which the expected number of mutants of a clean image is at most
    ``clean_mutants``, and the largest β that keeps the false alarms of the sequential verdict at
    those of the threshold. Where even ``high`` = threshold costs less, α is halved as often as the
    budget allows. All of it is computed exactly, over all orders of the pool.

    Args:
        counts: counts of the images to choose on; certify on others.
        false_alarm: rate to choose the threshold for.
        max_miss: the largest α.
        clean_mutants: expected number of mutants of a clean image; fewer where even the sharpest
            test takes fewer.

    Raises:
        CalibrationError: no image is classified correctly, or more than ``false_alarm`` of those
            that are change their label under every mutant.
    """
    if not counts.correct.size:
        raise CalibrationError("no image to choose the policy on is classified correctly; give more images")
    threshold = next((k for k in range(1, counts.pool + 1) if counts.rate_at_least(k) <= false_alarm), None)
    if threshold is None:
        raise CalibrationError(
            "labels of normal images change too often: more of them change under every mutant than may raise an alarm "
            f"({false_alarm:.1%}, so that the rate asked for can be certified); lower --rate or raise --max-false-alarm"
        )
    search = _Search(counts, threshold, false_alarm)
    too_sharp, high = threshold - 1, counts.pool
    while high - too_sharp > 1:
        middle = (too_sharp + high) // 2
        if search.cheapest(middle, max_miss)[0] <= clean_mutants:
            high = middle
        else:
            too_sharp = middle
    best = search.cheapest(high, max_miss)[1]
    for halvings in range(1, _HALVINGS + 1) if high == threshold else ():
        cost, sharper = search.cheapest(high, max_miss / 2**halvings)
        if cost > clean_mutants:
            break
        best = sharper
    return best


@dataclass(frozen=True, eq=False)
class _Search:
    counts: CleanCounts
    threshold: int
    false_alarm: float

    def cheapest(self, high: int, alpha: float) -> tuple[float, Shape]:
        """Return the cost on clean images and the shape of the test with the largest fitting β.

        The test has this ``high`` and this α. Where no β keeps the false alarms, the smallest is
        taken: hardly an input below the threshold then raises one.
        """
        least, most = 0, _STEPS
        best = self._shape(high, alpha, most)
        cost = self._rates(best)[1]
        while most - least > 1:
            middle = (least + most) // 2
            shape = self._shape(high, alpha, middle)
            alarms, mutants = self._rates(shape)
            if alarms > self.false_alarm:
                least = middle
            else:
                cost, best, most = mutants, shape, middle
        return cost, best

    def _shape(self, high: int, alpha: float, steps: int) -> Shape:
        return Shape(self.counts, self.threshold, high, alpha, exp(-_STEP * steps))

    def _rates(self, shape: Shape) -> tuple[float, float]:
        """Return the false-alarm rate and the expected number of mutants on the clean images."""
        found = ends(shape.test(self.threshold).boundaries())
        values, of_correct, of_everyone = self._weights
        result = found.characteristic(found.over_pool(values, self.counts.pool))
        return float(of_correct @ result.adversarial), float(of_everyone @ result.mutants)

    @cached_property
    def _weights(self) -> tuple[Counts, Probabilities, Probabilities]:
        """Distinct counts, with the shares of rightly classified and of all images for each."""
        values, everyone = np.unique(self.counts.everyone, return_counts=True)
        correct = np.array([(self.counts.correct == value).mean() for value in values])
        return values, correct, everyone / everyone.sum()
