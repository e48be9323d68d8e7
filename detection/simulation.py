"""Policies run on recorded label changes: what they would have answered, and at what cost."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.boundaries import Counts
from detection.characteristic import ends
from detection.intervals import Interval, clopper_pearson
from detection.policies import Decision, Policy, State, advance
from detection.recording import Recording

Probabilities = NDArray[np.float64]

_BLOCK = 64


@dataclass(frozen=True)
class Estimates:
    """What a policy did on clean images.

    Attributes:
        false_alarms: 'adversarial' among images the original gets right.
        alarms: 'adversarial' among all images, what production sees.
        undecided: pool exhausted, among all images.
        alarms_or_undecided: either, among all images.
        mean_mutants: expected number of mutants of an image, over all orders of the pool.
        p99_mutants: 99th percentile of it.
    """

    false_alarms: Interval
    alarms: Interval
    undecided: Interval
    alarms_or_undecided: Interval
    mean_mutants: float
    p99_mutants: int


def run(policy: Policy, evidence: NDArray[np.bool_]) -> State:
    """Feed a policy label changes in the order they stand in, bool [requests, pool], from its first mutant on."""
    changes, mutants = np.zeros(len(evidence), dtype=np.int64), np.zeros(len(evidence), dtype=np.int64)
    decisions = np.zeros(len(evidence), dtype=np.int8)
    undecided = np.arange(len(evidence))
    # In blocks, since most requests need few of their mutants.
    for start in range(0, policy.mutants, _BLOCK):
        block = evidence[undecided, start : min(start + _BLOCK, policy.mutants)]
        lengths = np.full(len(undecided), block.shape[1])
        state = advance(policy, changes[undecided], mutants[undecided], block, lengths)
        changes[undecided], mutants[undecided], decisions[undecided] = state
        undecided = undecided[state.decisions == Decision.CONTINUE]
        if not undecided.size:
            break
    return State(changes, mutants, decisions)


def replay(policy: Policy, recording: Recording, seed: int) -> State:
    """Run a policy over recorded label changes, each image meeting the mutants in a random order of its own."""
    return run(policy, recording.shuffled(seed))


def estimate(policy: Policy, recording: Recording, state: State, confidence: float = 0.95) -> Estimates:
    """Rates of a policy on clean images, counted on one order each, with exact intervals.

    Args:
        policy: the policy.
        recording: label changes of the images, at least one of them classified correctly.
        state: from :func:`replay`, or :func:`run` on ``recording.shuffled``.
        confidence: two-sided level of the intervals.
    """
    adversarial = state.decisions == Decision.ADVERSARIAL
    undecided = ~(adversarial | (state.decisions == Decision.NORMAL))

    def interval(hits: NDArray[np.bool_]) -> Interval:
        return clopper_pearson(int(hits.sum()), int(hits.size), confidence)

    used = mutants_used(policy, recording.counts)
    return Estimates(
        false_alarms=interval(adversarial[recording.correct]),
        alarms=interval(adversarial),
        undecided=interval(undecided),
        alarms_or_undecided=interval(adversarial | undecided),
        mean_mutants=float(used @ np.arange(used.size)),
        p99_mutants=int(np.searchsorted(np.cumsum(used), 0.99 - 1e-12)),
    )


def mutants_used(policy: Policy, counts: Counts) -> Probabilities:
    """Distribution of the mutants a request uses, over all orders of the pool.

    Args:
        policy: the policy.
        counts: int64 [images], label changes of each image over the whole pool.

    Returns:
        float64 [most mutants + 1], the probability of each number of mutants for an image drawn from these.
    """
    found = ends(policy.boundaries)
    values, images = np.unique(counts, return_counts=True)
    weights = images @ found.over_pool(values, policy.pool) / images.sum()
    return np.bincount(found.mutants, weights=weights, minlength=policy.mutants + 1).astype(np.float64)
