"""CPU time of one policy step for a thousand requests in flight."""

import time

import numpy as np

from benchmarks.figures import Figure, milliseconds
from benchmarks.sections import Section, Table, held
from mutant_guard.decision.sequential.boundaries import Counts
from mutant_guard.decision.sequential.policies import Decision, Policy, advance

_REQUESTS = 1000
_REPETITIONS = 200
_TARGET_MS = 1.0


def measure(policies: list[Policy]) -> Section:
    """Time the scheduler's calls of a policy at every step.

    They are to look ahead, then to consume the evidence.
    """
    rows, figures = [], []
    for policy in policies:
        seconds, mutants = _step(policy)
        figure = Figure(f"{policy.name}_step_1000_requests", 1000 * seconds, "ms", _TARGET_MS, at_most=True)
        figures.append(figure)
        rows.append([policy.name, f"{mutants:.0f}", held(figure), milliseconds(seconds / _REQUESTS * 1e3)])
    columns = ["policy", "mutants of a request and step", "CPU ms a step", "CPU µs a request"]
    note = "Median CPU time of one thread; requests are as far as undecided ones are after some steps."
    return Section("One policy step, 1,000 requests", [Table("Policy step", columns, rows, [note])], figures)


def _step(policy: Policy) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    changes, mutants = _undecided(policy, rng)
    times, widths = [], []
    for _ in range(_REPETITIONS):
        evidence = rng.random((_REQUESTS, policy.mutants)) < policy.hypotheses.low / policy.pool
        started = time.process_time()
        lengths = policy.look_ahead(changes, mutants)
        advance(policy, changes, mutants, evidence[:, : int(lengths.max())], lengths)
        times.append(time.process_time() - started)
        widths.append(lengths.mean())
    return float(np.median(times)), float(np.mean(widths))


def _undecided(policy: Policy, rng: np.random.Generator) -> tuple[Counts, Counts]:
    """Return states of requests that are still undecided.

    Some are new, most are in the middle of their test.
    """
    changes, mutants = np.zeros(_REQUESTS, np.int64), np.zeros(_REQUESTS, np.int64)
    for _ in range(4):
        lengths = policy.look_ahead(changes, mutants)
        rate = policy.hypotheses.high / policy.pool
        evidence = rng.random((_REQUESTS, int(lengths.max()))) < rate
        state = advance(policy, changes, mutants, evidence, lengths)
        going = (state.decisions == Decision.CONTINUE) & (rng.random(_REQUESTS) < 0.8)
        changes, mutants = np.where(going, state.changes, changes), np.where(going, state.mutants, mutants)
    return changes, mutants
