"""Simulation of policies on recorded answers of mutants: their verdicts and their cost."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.calibration.intervals import Interval, clopper_pearson
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.sequential.boundaries import Counts
from mutant_guard.decision.sequential.characteristic import ends
from mutant_guard.decision.sequential.policies import Decision, Policy, Signs, State, advance

Probabilities = NDArray[np.float64]

_BLOCK = 64


@dataclass(frozen=True)
class Estimates:
    """Rates and cost of a policy on clean images.

    Attributes:
        false_alarms: 'adversarial' among images that the original classifies correctly.
        alarms: 'adversarial' among all images, like production traffic.
        undecided: pool exhausted, among all images.
        alarms_or_undecided: 'adversarial' or undecided, among all images.
        mean_mutants: expected number of mutants of an image. Where label changes are counted, it is
            over all orders of the pool, else over the orders that were run.
        p99_mutants: 99th percentile of the number of mutants of an image.
    """

    false_alarms: Interval
    alarms: Interval
    undecided: Interval
    alarms_or_undecided: Interval
    mean_mutants: float
    p99_mutants: int


def run(policy: Policy, evidence: Signs, start: Counts | None = None) -> State:
    """Feed evidence to a policy in the given order, from the first mutant on.

    Args:
        policy: the policy.
        evidence: bool or integers [requests, pool], evidence of the mutants.
        start: int64 [requests], evidence before the first mutant; by default none.
    """
    mutants = np.zeros(len(evidence), dtype=np.int64)
    changes = np.zeros(len(evidence), dtype=np.int64) if start is None else start.copy()
    decisions = policy.decide(changes, mutants)
    undecided = np.flatnonzero(decisions == Decision.CONTINUE)
    # Work in blocks, since most requests need few of their mutants.
    for first in range(0, policy.mutants, _BLOCK):
        block = evidence[undecided, first : min(first + _BLOCK, policy.mutants)]
        lengths = np.full(len(undecided), block.shape[1])
        state = advance(policy, changes[undecided], mutants[undecided], block, lengths)
        changes[undecided], mutants[undecided], decisions[undecided] = state
        undecided = undecided[state.decisions == Decision.CONTINUE]
        if not undecided.size:
            break
    return State(changes, mutants, decisions)


def run_recorded(policy: Policy, recording: Recording) -> State:
    """Run a policy over a recording; images meet the mutants in the recorded order.

    Raises:
        ValueError: the policy adds up doubts and none were recorded.
    """
    return run(policy, *recording.evidence(policy))


def replay(policy: Policy, recording: Recording, seed: int) -> State:
    """Run a policy over a recording; each image meets the mutants in a random order of its own."""
    return run_recorded(policy, recording.reordered(seed))


def estimate(policy: Policy, recording: Recording, state: State, confidence: float = 0.95) -> Estimates:
    """Estimate the rates of a policy on clean images, with exact intervals.

    They are counted on one order for each image.

    Args:
        policy: the policy.
        recording: label changes of the images, at least one of them classified correctly.
        state: result of ``replay``, or of ``run_recorded`` on ``recording.reordered``.
        confidence: two-sided level of the intervals.
    """
    adversarial = state.decisions == Decision.ADVERSARIAL
    undecided = ~(adversarial | (state.decisions == Decision.NORMAL))

    def interval(hits: NDArray[np.bool_]) -> Interval:
        return clopper_pearson(int(hits.sum()), int(hits.size), confidence)

    used = mutants_distribution(policy, recording, state)
    return Estimates(
        false_alarms=interval(adversarial[recording.correct]),
        alarms=interval(adversarial),
        undecided=interval(undecided),
        alarms_or_undecided=interval(adversarial | undecided),
        mean_mutants=float(used @ np.arange(used.size)),
        p99_mutants=int(np.searchsorted(np.cumsum(used), 0.99 - 1e-12)),
    )


def mutants_distribution(policy: Policy, recording: Recording, state: State) -> Probabilities:
    """Return the probability of each number of mutants for an image drawn from a recording.

    It is exact over all orders where the policy counts label changes; else it is for the orders
    that gave ``state``.

    Returns:
        float64 [most mutants + 1].
    """
    if policy.about is not None:
        return mutants_used(policy, recording.counts)
    found = np.bincount(state.mutants, minlength=policy.mutants + 1)
    return np.asarray(found / len(state.mutants))


def mutants_used(policy: Policy, counts: Counts) -> Probabilities:
    """Return the distribution of the mutants that a request uses, over all orders of the pool.

    Args:
        policy: the policy.
        counts: int64 [images], label changes of each image over the whole pool.

    Returns:
        float64 [most mutants + 1], probability of each number of mutants for an image drawn from
        these.
    """
    found = ends(policy.boundaries)
    values, images = np.unique(counts, return_counts=True)
    weights = images @ found.over_pool(values, policy.pool) / images.sum()
    return np.bincount(found.mutants, weights=weights, minlength=policy.mutants + 1).astype(np.float64)
