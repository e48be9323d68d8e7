"""The sequential tests at their own hypotheses: error rates and mutants against Wald's limits."""

from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlog1py, xlogy

from benchmarks.figures import Figure
from benchmarks.sections import Section, Table
from mutant_guard.decision.calibration.simulation import run
from mutant_guard.decision.sequential.boundaries import Boundaries, Counts
from mutant_guard.decision.sequential.characteristic import over_pool, over_stream
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt, Logs, last_that
from mutant_guard.decision.sequential.policies import Decision, ErrorBounds, Hypotheses, Policy, advance
from mutant_guard.decision.sequential.sprt import Sprt

_RUNS, _QUICK_RUNS = 100_000, 10_000
_HORIZON, _MIXTURE_HORIZON = 200_000, 20_000
_BLOCK = 64
_AT_ONCE = 20_000
_EFFICIENCY = 1.10


@dataclass(frozen=True)
class _StreamResult:
    """Shares of the runs that ended normal and adversarial, and the runs' mutants."""

    normal: float
    adversarial: float
    mean: float
    most: int


@dataclass(frozen=True, eq=False)
class Endless:
    """Test on an endless stream of independent label changes.

    Attributes:
        boundaries: boundaries over a horizon that no run is likely to reach.
        p1, p0: label change rates of its two hypotheses.
        clean: mean label change rate of clean images, for a test made for these.
    """

    boundaries: Boundaries
    p1: float
    p0: float
    clean: float | None = None


def measure(paper: Sprt, calibrated: FinitePoolSprt, policy: Policy, quick: bool) -> Section:
    """Simulate the tests of both sequential policies.

    Args:
        paper: the test of ``paper``.
        calibrated: the test of ``calibrated``.
        policy: the policy ``calibrated``, whose hypotheses and targets are what it promises.
        quick: whether to make 10,000 runs instead of 100,000.
    """
    runs = _QUICK_RUNS if quick else _RUNS
    rows, figures, means = [], [], {}
    endless = {
        "paper": Endless(paper.boundaries(_HORIZON), paper.p1, paper.p0),
        "calibrated": with_replacement(calibrated, policy.hypotheses.low),
    }
    for name, test in endless.items():
        rates = {"p1": test.p1, "p0": test.p0} | ({"clean": test.clean} if test.clean else {})
        found = {
            side: _stream(test.boundaries, rate, runs, n) for n, (side, rate) in enumerate(rates.items())
        }
        for side, end in found.items():
            # An error that never came about counts as half a run: at no error at all the limit is
            # infinite.
            alarms = found["p1" if side == "p0" else side].adversarial
            errors = max(found["p0"].normal, 0.5 / runs), max(alarms, 0.5 / runs)
            limit = _wald(rates["p1" if side == "p0" else side], rates["p0"], *errors, side == "p0")
            ratio, means[name, side] = end.mean / limit, end.mean
            error, bound = (
                (end.normal, exp(-paper.upper)) if side == "p0" else (end.adversarial, exp(paper.lower))
            )
            bounded = f"{bound:.4f}" if name == "paper" else f"{calibrated.alpha:.4f}" if side == "p0" else ""
            exact = _exact(test.boundaries, rates[side], end.most)
            rows.append([f"{name} at {side}", *_cells(error, bounded, end, exact), f"{ratio:.3f} ×"])
            target = _EFFICIENCY if side in ("p0", "p1") else None
            figures.append(Figure(f"{name}_mutants_at_{side}_vs_wald", ratio, "x", target, at_most=True))
            if name == "paper":
                figures.append(
                    Figure(f"paper_errors_at_{side}_vs_wald", error / bound, "x", 1.0, at_most=True)
                )
    exact_means = over_pool(policy.boundaries, np.arange(policy.pool + 1), policy.pool).mutants
    counts = {"p1": policy.hypotheses.low, "p0": policy.hypotheses.high}
    for seed, (side, count) in enumerate(counts.items()):
        end = _draws(policy, count, runs, seed)
        error, bound = (
            (end.normal, policy.targets.alpha) if side == "p0" else (end.adversarial, policy.targets.beta)
        )
        cells = _cells(error, f"{bound:.4f}", end, float(exact_means[count]))
        rows.append([f"calibrated at {side}, pool of {policy.pool}", *cells, ""])
        saved = end.mean / means["calibrated", side]
        figures += [
            Figure(f"calibrated_errors_at_{side}_vs_bound", error / bound, "x", 1.0, at_most=True),
            Figure(f"calibrated_pool_vs_stream_at_{side}", saved, "x", 1.0, at_most=True),
            Figure(f"calibrated_most_mutants_at_{side}", end.most, "", float(policy.pool), at_most=True),
        ]
    columns = [
        "label changes",
        "error rate",
        "at most",
        "mean mutants",
        "exact",
        "most",
        "against Wald's limit",
    ]
    shown = ", ".join(f"{test.p1:.4f} and {test.p0:.4f} ({name})" for name, test in endless.items())
    notes = [
        f"{runs:,} runs each. p1 and p0 are the label change rates of the hypotheses, {shown}; clean is the mean rate "
        f"of clean images, {endless['calibrated'].clean:.4f}. Wald's limit is the least mean of any test between that "
        "rate and p0 with the error rates realised.",
        "calibrated is made for the mixture of rates that clean images have, most of them far below p1: it is near the "
        "limit where traffic is, not at p1.",
    ]
    table = Table("Error rates and mutants", columns, rows, notes)
    return Section("Sequential tests at their hypotheses", [table], figures)


def with_replacement(test: FinitePoolSprt, low: int) -> Endless:
    """Return the test of the same mixture, rate to be caught and bounds, drawn with replacement."""
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
    return Endless(boundaries, low / test.pool, rate, test.normal.mean / test.pool)


def _log_path(changes: Counts, mutants: Counts, rates: Logs) -> Logs:
    """Return the log probability of one path of independent label changes."""
    return np.asarray(xlogy(changes, rates) + xlog1py(mutants - changes, -rates))


def _cells(error: float, bound: str, end: _StreamResult, exact: float) -> list[str]:
    return [f"{error:.4f}", bound, f"{end.mean:,.1f}", f"{exact:,.1f}", f"{end.most:,}"]


def _exact(boundaries: Boundaries, rate: float, most: int) -> float:
    """Return the expected mutants, computed up to twice as many as any run took."""
    ended = boundaries.until(min(2 * most, boundaries.mutants))
    return float(over_stream(ended, np.array([rate])).mutants[0])


def _wald(p1: float, p0: float, miss: float, false_alarm: float, at_p0: bool) -> float:
    """Return Wald's lower bound on the expected mutants at error rates.

    Sources: Wald 1945; Wald and Wolfowitz 1948.
    """
    if at_p0:
        return _divergence(miss, 1 - false_alarm) / _divergence(p0, p1)
    return _divergence(false_alarm, 1 - miss) / _divergence(p1, p0)


def _divergence(p: float, q: float) -> float:
    """Return the Kullback–Leibler divergence of two Bernoulli distributions."""
    return (p * log(p / q) if p else 0.0) + (1 - p) * log((1 - p) / (1 - q))


def _stream(boundaries: Boundaries, rate: float, runs: int, seed: int) -> _StreamResult:
    """Draw independent label changes of one rate until every run has decided."""
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


def _draws(policy: Policy, count: int, runs: int, seed: int) -> _StreamResult:
    """Run the policy on pools with this many label changes, each in a random order."""
    rng = np.random.default_rng(seed)
    decisions, mutants = [], []
    for start in range(0, runs, _AT_ONCE):
        pools = np.tile(np.arange(policy.pool) < count, (min(_AT_ONCE, runs - start), 1))
        state = run(policy, rng.permuted(pools, axis=1))
        decisions.append(state.decisions)
        mutants.append(state.mutants)
    return _outcome(np.concatenate(decisions), np.concatenate(mutants))


def _outcome(decisions: NDArray[np.int8], mutants: Counts) -> _StreamResult:
    normal, adversarial = (
        float((decisions == end).mean()) for end in (Decision.NORMAL, Decision.ADVERSARIAL)
    )
    return _StreamResult(normal, adversarial, float(mutants.mean()), int(mutants.max()))
