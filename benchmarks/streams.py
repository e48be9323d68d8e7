"""The sequential tests at their own hypotheses: error rates and mutants against Wald's limits."""

from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlog1py, xlogy

from benchmarks.figures import Figure
from benchmarks.sections import Section, Table
from detection import builders
from detection.boundaries import Boundaries, Counts
from detection.finite_pool import FinitePoolSprt, Logs, last_that
from detection.policies import Decision, ErrorBounds, Hypotheses, Policy, advance
from detection.simulation import run
from detection.sprt import Sprt

_RUNS, _QUICK_RUNS = 100_000, 10_000
_HORIZON, _MIXTURE_HORIZON = 200_000, 20_000
_BLOCK = 64
_AT_ONCE = 20_000
_EFFICIENCY = 1.10


@dataclass(frozen=True)
class _Outcome:
    """Shares of the runs that ended so, and their mutants."""

    normal: float
    adversarial: float
    mean: float
    most: int


def measure(paper: Sprt, calibrated: FinitePoolSprt, quick: bool) -> Section:
    """Simulate the tests of both sequential policies.

    Args:
        paper: the test of ``paper``.
        calibrated: the test of ``calibrated``.
        quick: 10,000 runs instead of 100,000.
    """
    runs = _QUICK_RUNS if quick else _RUNS
    rows, figures = [], []
    endless = {
        "paper": _Endless(paper.boundaries(_HORIZON), paper.p1, paper.p0, paper.upper, paper.lower),
        "calibrated": with_replacement(calibrated),
    }
    means: dict[tuple[str, str], float] = {}
    for name, test in endless.items():
        ends = {
            side: _stream(test.boundaries, p, runs, seed)
            for seed, (side, p) in enumerate((("p1", test.p1), ("p0", test.p0)))
        }
        miss, false_alarm = ends["p0"].normal, ends["p1"].adversarial
        for side, end in ends.items():
            # An error that never came about counts as half a run: at no error at all the limit is infinite.
            limit = _wald(side, test, max(miss, 0.5 / runs), max(false_alarm, 0.5 / runs))
            means[name, side] = end.mean
            rows.append([f"{name} at {side}", *_cells(test, side, end), f"{end.mean / limit:.3f} ×"])
            figures.append(
                Figure(f"{name}_mutants_at_{side}_vs_wald", end.mean / limit, "x", _EFFICIENCY, at_most=True)
            )
        bounds = exp(-test.upper), exp(test.lower)
        errors = zip(("misses", "false_alarms"), (miss, false_alarm), bounds, strict=True)
        figures += [
            Figure(f"{name}_{what}_vs_bound", share / bound, "x", 1.0, at_most=True)
            for what, share, bound in errors
        ]
    pool, stream = calibrated.pool, endless["calibrated"]
    for seed, (side, count) in enumerate((("p1", round(calibrated.normal.mean)), ("p0", calibrated.high))):
        end = _draws(calibrated, count, runs, seed)
        rows.append([f"calibrated at {side}, pool of {pool}", *_cells(stream, side, end), ""])
        saved = end.mean / means["calibrated", side]
        figures.append(Figure(f"calibrated_pool_vs_stream_at_{side}", saved, "x", 1.0, at_most=True))
        figures.append(Figure(f"calibrated_most_mutants_at_{side}", end.most, "", float(pool), at_most=True))
    columns = ["label changes", "error rate", "bound on it", "mean mutants", "most", "against Wald's limit"]
    notes = [
        f"{runs:,} runs each. p1 and p0 are the label change rates of the hypotheses: {paper.p1:.4f} and "
        f"{paper.p0:.4f} (paper); {stream.p1:.4f}, the mean of clean images, and {stream.p0:.4f}, what must be caught "
        "(calibrated). Wald's limit is the least mean of any test between the two rates with the error rates realised.",
        "calibrated is made for the mixture of rates that clean images have, and to raise few alarms on all of them. "
        "So at p1 alone it raises far fewer than its bound allows, and pays for that with mutants at p0.",
    ]
    return Section(
        "Sequential tests at their hypotheses",
        [Table("Error rates and mutants", columns, rows, notes)],
        figures,
    )


@dataclass(frozen=True, eq=False)
class _Endless:
    """A test on an endless stream of independent label changes, its two rates and its log bounds."""

    boundaries: Boundaries
    p1: float
    p0: float
    upper: float
    lower: float


def with_replacement(test: FinitePoolSprt) -> _Endless:
    """The same mixture, rate to be caught and bounds, for mutants drawn with replacement."""
    rates, rate = np.array(test.normal.counts) / test.pool, test.high / test.pool
    weights = np.log(test.normal.weights)
    n = np.arange(_MIXTURE_HORIZON + 1)

    def log_ratio(changes: Counts) -> Logs:
        each = weights + _log_path(changes[:, None], n[:, None], rates)
        largest = each.max(axis=1)
        mixed = largest + np.log(np.exp(each - largest[:, None]).sum(axis=1))
        return np.asarray(mixed - _log_path(changes, n, np.array(rate)))

    boundaries = Boundaries(
        last_that(n, lambda z: log_ratio(z) >= test.upper),
        last_that(n, lambda z: log_ratio(z) > test.lower) + 1,
    )
    return _Endless(boundaries, test.normal.mean / test.pool, rate, test.upper, test.lower)


def _log_path(changes: Counts, mutants: Counts, rates: Logs) -> Logs:
    """Log probability of one path of independent label changes."""
    return np.asarray(xlogy(changes, rates) + xlog1py(mutants - changes, -rates))


def _cells(test: _Endless, side: str, end: _Outcome) -> list[str]:
    error, bound = (end.adversarial, exp(test.lower)) if side == "p1" else (end.normal, exp(-test.upper))
    return [f"{error:.4f}", f"{bound:.4f}", f"{end.mean:,.1f}", f"{end.most:,}"]


def _wald(side: str, test: _Endless, miss: float, false_alarm: float) -> float:
    """Wald's lower bound on the expected mutants at error rates (Wald 1945; Wald and Wolfowitz 1948)."""
    if side == "p1":
        return _divergence(false_alarm, 1 - miss) / _divergence(test.p1, test.p0)
    return _divergence(miss, 1 - false_alarm) / _divergence(test.p0, test.p1)


def _divergence(p: float, q: float) -> float:
    """Kullback–Leibler divergence of two Bernoulli distributions."""
    return (p * log(p / q) if p else 0.0) + (1 - p) * log((1 - p) / (1 - q))


def _stream(boundaries: Boundaries, rate: float, runs: int, seed: int) -> _Outcome:
    """Independent label changes of one rate, drawn until every run has decided."""
    rng = np.random.default_rng(seed)
    policy = Policy("endless", boundaries, boundaries.mutants, Hypotheses(0, 1), ErrorBounds(1, 1))
    changes, mutants = np.zeros(runs, np.int64), np.zeros(runs, np.int64)
    decisions = np.zeros(runs, np.int8)
    alive = np.arange(runs)
    while alive.size:
        for start in range(0, alive.size, _AT_ONCE):
            part = alive[start : start + _AT_ONCE]
            evidence = rng.random((part.size, _BLOCK), dtype=np.float32) < rate
            state = advance(policy, changes[part], mutants[part], evidence, np.full(part.size, _BLOCK))
            changes[part], mutants[part], decisions[part] = state
        alive = np.flatnonzero(decisions == Decision.CONTINUE)
    return _outcome(decisions, mutants)


def _draws(test: FinitePoolSprt, count: int, runs: int, seed: int) -> _Outcome:
    """Pools with so many label changes, each in a random order."""
    rng = np.random.default_rng(seed)
    policy = builders.without_replacement("calibrated", test, test.beta)
    decisions, mutants = [], []
    for start in range(0, runs, _AT_ONCE):
        pools = np.tile(np.arange(policy.pool) < count, (min(_AT_ONCE, runs - start), 1))
        state = run(policy, rng.permuted(pools, axis=1))
        decisions.append(state.decisions)
        mutants.append(state.mutants)
    return _outcome(np.concatenate(decisions), np.concatenate(mutants))


def _outcome(decisions: NDArray[np.int8], mutants: Counts) -> _Outcome:
    normal, adversarial = (
        float((decisions == end).mean()) for end in (Decision.NORMAL, Decision.ADVERSARIAL)
    )
    return _Outcome(normal, adversarial, float(mutants.mean()), int(mutants.max()))
