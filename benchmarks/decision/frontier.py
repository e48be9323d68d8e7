"""Detection against mutants at a certified false-alarm rate.

Every policy runs on recorded label changes of test images.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure as Picture

from benchmarks.decision.recorded import Pool, RecordedResult
from benchmarks.figures import Figure
from benchmarks.sections import Section, Table
from mutant_guard.decision.calibration.intervals import Interval, clopper_pearson
from mutant_guard.store.calibration_record import CalibrationSettings

_DEFAULT = CalibrationSettings().budget
_BUDGETS = (8.0, 12.0, 16.0, _DEFAULT, 30.0, 45.0, 60.0, 80.0)
_QUICK_BUDGETS = (_DEFAULT,)
# Shares of paper's mutants at the two ends: a little less than a twentieth and a fifth, since
# predictions err.
_FAST, _SHARP = 1 / 21, 1 / 5.5
_FIXED = (25, 50, 100, 200, 400)
_REQUESTED = CalibrationSettings().max_false_alarm


@dataclass(frozen=True)
class Entry:
    """A policy's outcomes, one a pool, and the fewest mutants that any test could need.

    The fewest mutants are there for sequential policies only.
    """

    name: str
    outcomes: list[RecordedResult]
    fewest: list[float]

    def mean(self, what: Callable[[RecordedResult], float]) -> float:
        """Return the mean over the pools."""
        return float(np.mean([what(outcome) for outcome in self.outcomes]))

    def detection(self, kind: str) -> float:
        """Return the detection of a kind, mean over the pools."""
        return self.mean(lambda outcome: outcome.detection[kind])

    def loss(self, kind: str) -> float:
        """Return the detection of a kind lost against the whole pool, mean over the pools."""
        return self.mean(lambda outcome: outcome.loss[kind])

    @property
    def clean(self) -> float:
        """Expected number of mutants of a clean image."""
        return self.mean(lambda outcome: outcome.clean)


def measure(key: str, title: str, pools: list[Pool], quick: bool, say: Callable[[str], None]) -> Section:
    """Calibrate, replay and compare policies.

    Args:
        key: name of the model in figures.
        title: name of the model for people.
        pools: recordings of the model's pools.
        quick: whether to take one budget of ``calibrated`` instead of eight.
        say: callback that is told what is going on.
    """
    budgets = _QUICK_BUDGETS if quick else _BUDGETS
    paper = Entry("paper", [pool.outcome(pool.paper()) for pool in pools], [])
    calibrated = []
    for budget in budgets:
        say(f"{title}: calibrated for {budget:g} mutants a clean image")
        calibrated.append(_calibrated(f"calibrated, {budget:g}", pools, [budget] * len(pools)))
    say(f"{title}: calibrated for shares of paper's mutants")
    fast, sharp = (
        _calibrated(f"calibrated, {name}", pools, [share * pool.paper_cost for pool in pools])
        for name, share in (("fast", _FAST), ("sharp", _SHARP))
    )
    fixed = [Entry(f"fixed, {n}", [pool.outcome(pool.fixed(n).policy) for pool in pools], []) for n in _FIXED]
    default = calibrated[budgets.index(_DEFAULT)]
    return Section(
        f"Policies on {title}",
        [_policies(title, pools, [paper, default, fast, sharp, *fixed]), _frontier(title, paper, calibrated)],
        _figures(key, paper, default, fast, sharp),
        {f"frontier-{key}.png": _picture(title, paper, calibrated, fixed)},
    )


def _calibrated(name: str, pools: list[Pool], budgets: list[float]) -> Entry:
    """Return ``calibrated`` for a number of mutants a clean image, one a pool."""
    policies = [pool.calibrated(budget).policy for pool, budget in zip(pools, budgets, strict=True)]
    outcomes = [pool.outcome(policy) for pool, policy in zip(pools, policies, strict=True)]
    fewest = [pool.fewest(policy) for pool, policy in zip(pools, policies, strict=True)]
    return Entry(name, outcomes, fewest)


def _figures(key: str, paper: Entry, default: Entry, fast: Entry, sharp: Entry) -> list[Figure]:
    counted = _counted(default)
    figures = [
        Figure(f"{key}_calibrated_false_alarms", 100 * counted.rate, "%"),
        Figure(f"{key}_calibrated_false_alarms_lower_bound", 100 * counted.low, "%", 100 * _REQUESTED, True),
    ]
    ends = (("default", default, None, None), ("fast", fast, 20.0, 0.03), ("sharp", sharp, 5.0, 0.005))
    for name, entry, fewer, loss in ends:
        kinds = list(entry.outcomes[0].loss)
        figures += [
            Figure(f"{key}_{name}_clean_mutants", entry.clean, ""),
            Figure(f"{key}_paper_mutants_vs_{name}", paper.clean / entry.clean, "x", fewer),
            Figure(f"{key}_{name}_worst_detection_loss", max(map(entry.loss, kinds)), "", loss, True),
            Figure(
                f"{key}_{name}_mean_detection_loss", float(np.mean([*map(entry.loss, kinds)])), "", loss, True
            ),
            Figure(
                f"{key}_{name}_mutants_vs_fewest_possible", entry.clean / float(np.mean(entry.fewest)), "x"
            ),
        ]
    return figures


def _policies(title: str, pools: list[Pool], entries: list[Entry]) -> Table:
    kinds = pools[0].kinds
    columns = ["policy", "false alarms (95 %)", *kinds, "mutants clean", "suspicious", "undecided"]
    rows = []
    for entry in entries:
        counted = _counted(entry)
        rows.append(
            [
                entry.name,
                f"{counted.rate:.1%} ({counted.low:.1%}–{counted.high:.1%})",
                *(f"{entry.detection(kind):.3f} ({-entry.loss(kind):+.3f})" for kind in kinds),
                f"{entry.clean:.1f}",
                f"{entry.mean(lambda outcome: outcome.suspicious):.1f}",
                f"{entry.mean(lambda outcome: outcome.undecided):.1%}",
            ]
        )
    images = ", ".join(f"{len(counts):,} {kind}" for kind, counts in kinds.items())
    rate = float(np.mean([pool.correct.mean() / pool.size for pool in pools]))
    notes = [
        f"{len(pools)} pools of {pools[0].size} NAI mutants; {len(pools[0].everyone):,} clean test images, {images}. "
        f"Mean label change rate of rightly classified ones: {rate:.2%}. Certified for {_REQUESTED:.0%} false "
        "alarms with 95 % confidence (not paper), on images that are not among these. fast and sharp are asked for a "
        "little less than a twentieth and a fifth of what paper is predicted to take.",
        "False alarms are counted with one order an image, over all pools; the interval takes them as independent, "
        "which images shared by pools are not. Detection is exact over all orders; in brackets against a threshold on "
        "the whole pool's label change rate with the same false alarms.",
    ]
    return Table(f"Policies on {title}", columns, rows, notes)


def _frontier(title: str, paper: Entry, calibrated: list[Entry]) -> Table:
    kinds = calibrated[0].outcomes[0].loss
    columns = [
        "clean mutants asked for",
        "got",
        "of paper's",
        "fewest possible",
        "false alarms",
        *kinds,
        "mean",
    ]
    rows = []
    for entry in calibrated:
        losses = [entry.loss(kind) for kind in kinds]
        rows.append(
            [
                entry.name.rpartition(" ")[2],
                f"{entry.clean:.1f}",
                f"1/{paper.clean / entry.clean:.1f}",
                f"{np.mean(entry.fewest):.1f}",
                f"{entry.mean(lambda outcome: outcome.false_alarm):.2%}",
                *(f"{-loss:+.3f}" for loss in losses),
                f"{-np.mean(losses):+.3f}",
            ]
        )
    notes = [
        "Detection against the whole pool's at the same false alarms. 'Fewest possible' bounds from below what any "
        "test needs on these clean images with the same false alarms and the same misses at what must be caught."
    ]
    return Table(f"Frontier on {title}", columns, rows, notes)


def _picture(title: str, paper: Entry, calibrated: list[Entry], fixed: list[Entry]) -> Picture:
    picture = Picture(figsize=(8.5, 4.8), layout="constrained")
    axes = picture.subplots()
    kinds = list(paper.outcomes[0].loss)
    for entries, style, label in ((calibrated, "o-", "calibrated"), (fixed, "s--", "fixed")):
        lost = [-float(np.mean([entry.loss(kind) for kind in kinds])) for entry in entries]
        colour = "#1f6f8b" if label == "calibrated" else "#b5651d"
        axes.plot([entry.clean for entry in entries], lost, style, color=colour, label=label)
        if label == "calibrated":
            fewest = [float(np.mean(entry.fewest)) for entry in entries]
            axes.plot(fewest, lost, ":", color="#555555", label="fewest mutants any test could need")
    lost_by_paper = -float(np.mean([paper.loss(kind) for kind in kinds]))
    axes.plot([paper.clean], [lost_by_paper], "D", color="#7a3b69", label="paper, at its own false alarms")
    axes.axhline(0, color="#999999", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("mutants of a clean image, mean")
    axes.set_ylabel("detection against the whole pool's\nat the same false alarms, mean of kinds")
    axes.set_title(f"{title}: certified for {_REQUESTED:.0%} false alarms", loc="left")
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return picture


def _counted(entry: Entry) -> Interval:
    alarms = sum(outcome.alarms for outcome in entry.outcomes)
    return clopper_pearson(alarms, sum(outcome.images for outcome in entry.outcomes))
