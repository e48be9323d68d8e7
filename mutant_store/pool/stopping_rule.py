"""Stopping rule for a count over fixed images in random order.

The count answers whether a mutant is right on at least ``needed`` of ``total`` images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.sequential.boundaries import Counts
from mutant_guard.decision.sequential.combinatorics import log_factorials

Probabilities = NDArray[np.float64]

# Share of the error left unspent, far above what float64 loses in these sums (below 1e-8 up to
# 100,000 images).
_ROUNDING = 1e-7
# Exponent of the error's growth: the error spent by n images grows as n ** _SPENDING. Of 0.25, 0.5,
# 1, 2 and equal or geometric shares per look, 0.5 takes near the fewest images for good and bad
# mutants alike: 255, 625, 1013, 73 for mutants right on 98 %, 95 %, 85 %, 60 % of 2,500 images (bar
# 89.3 %, error 1e-6). Bounds optimised by backward induction over such mutants take 255, 594, 985,
# 73. The union bound, with equal shares and without crossing probabilities, takes 283, 645, 1030,
# 73.
_SPENDING = 0.5


@dataclass(frozen=True)
class StoppingRule:
    """Rule for what to do after each look, given the hits (images right so far).

    Reject where hits ≤ ``reject_at_most``, accept where hits ≥ ``accept_at_least``, else go on. The
    two never overlap. At the last look, which is all images, every count is one or the other and
    the answer exact.

    Attributes:
        looks: cumulative numbers of images, increasing up to the total; int64 [K].
        reject_at_most: −1 where none is rejected yet; int64 [K].
        accept_at_least: more than the look's images where none is accepted yet; int64 [K].
        error: bound on the probability, over the order of the images, that a mutant's decision is
            not that of all images; it holds for each mutant, however many images it gets right.
    """

    looks: Counts
    reject_at_most: Counts
    accept_at_least: Counts
    error: float


def geometric_looks(total: int, *, first: int = 50, growth: float = 1.3, largest: int = 250) -> Counts:
    """Return looks that are each ``growth`` times the one before.

    A step has at least ``first`` and at most ``largest`` images. A rest below ``first`` joins the
    last step, so only a ``total`` below ``first`` makes a shorter one.

    Args:
        total: number of images, at least 1.
        first: images of the first look, and the least of a step.
        growth: factor from look to look, at least 1.
        largest: most images of a step, at least ``first``.

    Returns:
        int64 [K], the last one ``total``.

    Raises:
        ValueError: an argument is out of range.
    """
    if total < 1:
        raise ValueError(f"total must be at least 1, got {total}")
    if not 1 <= first <= largest:
        raise ValueError(f"need 1 <= first <= largest, got first={first}, largest={largest}")
    if not growth >= 1:
        raise ValueError(f"growth must be at least 1, got {growth}")
    looks, seen = [], 0
    while seen < total:
        seen += min(max(round(seen * (growth - 1)), first), largest)
        if total - seen < first:
            seen = total
        looks.append(seen)
    return np.array(looks, dtype=np.int64)


def exact_rule(total: int, needed: int, looks: Counts) -> StoppingRule:
    """Return the rule that stops when the images left cannot change the outcome; its error is 0.

    Args:
        total: number of images.
        needed: least hits of a mutant to keep; 0 or less accepts every mutant at the first look.
        looks: int64 [K], increasing from at least 1 up to ``total``.

    Raises:
        ValueError: ``total`` is below 1, ``needed`` above it, or the looks do not increase up to
            it.
    """
    needed, looks = _checked(total, needed, looks)
    reject = np.maximum(needed - 1 - (total - looks), -1)
    return StoppingRule(looks, reject, np.full_like(looks, needed), 0.0)


def sequential_rule(total: int, needed: int, looks: Counts, error: float = 1e-6) -> StoppingRule:
    """Return the rule that stops as soon as the exact answer is known up to ``error``.

    A mutant right on C of N images has hypergeometric hits. If it is right on more images, its hits
    are at no look fewer in the same order, so P(accept) of the whole rule increases with C. A false
    acceptance is therefore likeliest at C = needed − 1, a false rejection at C = needed, and no
    mutant can meet both. Bounds keep both of these at or below ``error``. They are exact crossing
    probabilities, spent over the looks (Lan and DeMets, Biometrika 70, 1983).

    Args:
        total: number of images, visited in an order drawn uniformly and independently of the
            mutants. The bounds say nothing about images sorted in any way.
        needed: least hits of a mutant to keep; 0 or less accepts every mutant at the first look.
        looks: int64 [K], increasing from at least 1 up to ``total``.
        error: bound on the probability of another decision than all images give, for each mutant.

    Raises:
        ValueError: ``total`` is below 1, ``needed`` above it, the looks do not increase up to it,
            or ``error`` is not between 0 and 1.
    """
    needed, looks = _checked(total, needed, looks)
    if not 0 < error < 1:
        raise ValueError(f"error must be between 0 and 1, got {error}")
    rule = StoppingRule(looks, np.full_like(looks, needed - 1), np.full_like(looks, needed), error)
    if needed == 0:
        return rule
    budgets = error * (1 - _ROUNDING) * (looks[:-1] / looks[:-1].max(initial=1)) ** _SPENDING
    logs = log_factorials(total)
    # P(no decision yet | hits), whatever C is: given the hits at a look, those before it do not
    # depend on C.
    undecided, lowest, seen = np.ones(1), 0, 0
    false_accept = false_reject = 0.0
    for look, (images, budget) in enumerate(zip(looks[:-1].tolist(), budgets.tolist(), strict=True)):
        undecided, seen = _advance(undecided, lowest, seen, images), images
        hits = np.arange(lowest, lowest + undecided.size)
        below = undecided * _hypergeometric(logs, needed - 1, images, hits)
        enough = undecided * _hypergeometric(logs, needed, images, hits)
        # Counts from `accept` on and below `reject` end here. Where both would end a count, the
        # middle parts them.
        accept = int(np.count_nonzero(np.cumsum(below[::-1])[::-1] > budget - false_accept))
        reject = int(np.count_nonzero(np.cumsum(enough) <= budget - false_reject))
        if reject > accept:
            accept = reject = (accept + reject) // 2
        false_accept += float(below[accept:].sum())
        false_reject += float(enough[:reject].sum())
        rule.accept_at_least[look] = lowest + accept
        rule.reject_at_most[look] = lowest + reject - 1
        undecided, lowest = undecided[reject:accept], lowest + reject
    return rule


def _checked(total: int, needed: int, looks: Counts) -> tuple[int, Counts]:
    """Check the arguments of a rule, and return ``needed``, at least 0, and a copy of the looks."""
    if total < 1:
        raise ValueError(f"total must be at least 1, got {total}")
    if needed > total:
        raise ValueError(f"needed must be at most total, got {needed} of {total}")
    looks = np.array(looks, dtype=np.int64)
    if looks.ndim != 1 or not looks.size or looks[0] < 1 or looks[-1] != total or (np.diff(looks) < 1).any():
        raise ValueError(f"looks must increase from at least 1 up to total = {total}, got {looks.tolist()}")
    return max(needed, 0), looks


def _advance(undecided: Probabilities, lowest: int, seen: int, images: int) -> Probabilities:
    """Return P(no decision yet | hits) after ``images`` images, from that after ``seen`` images.

    Both begin at ``lowest`` hits. Given h hits among n images, the last one is a hit with
    probability h / n. Only positive terms are added, so the smallest values keep their relative
    accuracy.
    """
    for n in range(seen + 1, images + 1):
        hits = np.arange(lowest, lowest + undecided.size + 1)
        moved = np.zeros(hits.size)
        moved[:-1] = undecided * (n - hits[:-1])
        moved[1:] += undecided * hits[1:]
        undecided = moved / n
    return undecided


def _hypergeometric(logs: Probabilities, correct: int, images: int, hits: Counts) -> Probabilities:
    """Return P(hits) among ``images`` drawn of all, ``correct`` of which are right.

    Impossible hits have probability 0.
    """
    wrong = logs.size - 1 - correct
    probabilities = np.zeros(hits.size)
    possible = (hits <= correct) & (images - hits <= wrong) & (hits <= images)
    h = hits[possible]
    probabilities[possible] = np.exp(
        _log_choose(logs, correct, h)
        + _log_choose(logs, wrong, images - h)
        - _log_choose(logs, correct + wrong, images)
    )
    return probabilities


def _log_choose(logs: Probabilities, n: int, k: Counts | int) -> Probabilities:
    return np.asarray(logs[n] - logs[k] - logs[n - k])
