"""Sequential tests on doubts: the served one against others, certified alike.

They run on recorded images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure
from benchmarks.sections import Section, Table
from mutant_guard.decision.calibration.certification import certify
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.errors import DataError
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_store.calibrating.recordings import unpack

_SETTINGS = CalibrationSettings(evidence="soft")
_CLEAN_PARTS = {"choice", "certification", "clean"}
_CANDIDATES, _HALVINGS, _BINS = 1500, 40, 40
_SHARPNESS = 0.5
"""κ of the betting e-process: a p-value p is worth κ·p^(κ−1).

Source: Vovk and Wang, Annals of Statistics 2021.
"""

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""Function from one mutant's doubt to what it adds to the sum; the same shape."""


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums of a score: ``start`` [images] before the first mutant, ``after`` [images, mutants]."""

    start: Floats
    after: Floats


@dataclass(frozen=True)
class _Detection:
    false_alarms: float
    clean_mutants: float
    detection: dict[str, float]


def measure(recordings: Path, say: Callable[[str], None]) -> list[Section]:
    """Compare tests on every ``doubts-NAME-SEED.safetensors`` of ``evaluation.recorded_doubts``.

    Raises:
        DataError: there are no such files.
    """
    paths = sorted(recordings.glob("doubts-*.safetensors"))
    if not paths:
        raise DataError(
            f"{recordings} holds no recorded doubts; make them with: python -m evaluation.recorded_doubts --config "
            "evaluation/configs/mnist-retrain.toml"
        )
    sections = []
    for path in paths:
        _, _, rest = path.stem.partition("-")
        name, _, seed = rest.rpartition("-")
        say(f"tests on doubts: {name}")
        sections.append(_section(name, int(seed), unpack(path)))
    return sections


def _section(name: str, seed: int, recordings: dict[str, Recording]) -> Section:
    parts = {
        kind: part.reordered([seed, number]) for number, (kind, part) in enumerate(sorted(recordings.items()))
    }
    stages = {"1/n": lambda n: 1 / n, "equal": lambda n: 1.0, "first only": lambda n: 1.0 if n == 1 else 0.0}
    choice = _doubts(parts["choice"])
    scores: dict[str, Score] = {
        "sum of doubts": lambda doubts: doubts,
        "betting e-process": _e_process(choice),
        "likelihood against uniform": _likelihood(choice),
    }
    whole = _tested(parts, scores["sum of doubts"], None)
    found = {("sum of doubts", "all mutants"): whole}
    for score_name, score in scores.items():
        for stage_name, share in stages.items():
            found[score_name, stage_name] = _tested(parts, score, share)
    rows = []
    for (score_name, stage_name), outcome in found.items():
        losses = [whole.detection[kind] - rate for kind, rate in outcome.detection.items()]
        rows.append(
            [
                score_name,
                stage_name,
                f"{100 * outcome.false_alarms:.1f} %",
                f"{outcome.clean_mutants:.2f}",
                f"{100 * np.mean(list(outcome.detection.values())):.1f} %",
                f"{100 * np.mean(losses):.1f}",
                f"{100 * max(losses):.1f}",
            ]
        )
    columns = ["what is summed", "goes on after n mutants", "false alarms", "mutants clean"]
    columns += ["detection, mean of kinds", "lost, mean (points)", "lost, worst kind"]
    kinds = [kind for kind in parts if kind not in _CLEAN_PARTS]
    notes = [
        f"{parts['choice'].pool} mutants, {len(parts['clean'].correct):,} clean test images, "
        f"{len(kinds)} suspicious kinds ({', '.join(kinds)}). Every test asks for 5 % false alarms, certified alike, "
        f"and for {_SETTINGS.budget:g} mutants a clean image; the first line runs all mutants. The original's own "
        f"doubt counts {_SETTINGS.weight_of_original:g} of a mutant throughout.",
        _nominal(parts, choice),
    ]
    served = found["sum of doubts", "1/n"]
    worst = max(whole.detection[kind] - rate for kind, rate in served.detection.items())
    key = f"doubts_{name.replace('-', '_')}"
    figures = [
        Figure(f"{key}_clean_mutants", served.clean_mutants, "", 1.5 if "mnist" in name else 2.5, True),
        Figure(f"{key}_false_alarms", 100 * served.false_alarms, "%"),
        Figure(f"{key}_worst_detection_loss", worst, ""),
    ]
    return Section(f"Doubts, {name}", [Table(f"Tests on doubts, {name}", columns, rows, notes)], figures)


def _doubts(part: Recording) -> Floats:
    if part.doubts is None:
        raise DataError("a recording has no doubts; record it anew")
    return np.asarray(part.doubts / float(1 << 20))


def _sums(part: Recording, score: Score) -> _Sums:
    if part.own_doubts is None:
        raise DataError("a recording has no doubts; record it anew")
    start = _SETTINGS.weight_of_original * score(part.own_doubts[:, None] / float(1 << 20))[:, 0]
    return _Sums(start, start[:, None] + np.cumsum(score(_doubts(part)), axis=1))


def _tested(parts: dict[str, Recording], score: Score, share: Callable[[int], float] | None) -> _Detection:
    """Choose stages on the choice part, certify the threshold, and run the test.

    Without ``share``, there are no stages.
    """
    sums = {kind: _sums(part, score) for kind, part in parts.items()}
    bounds = {} if share is None else _bounds(sums["choice"].after, share)
    certified = parts["certification"].correct
    own = _Sums(sums["certification"].start[certified], sums["certification"].after[certified])
    high, low = float(own.after.max()) + 1, float(np.quantile(own.after[:, -1], 0.5))
    threshold, _ = certify(
        np.linspace(high, low, _CANDIDATES).tolist(),
        lambda candidate: int(_run(own, bounds, candidate)[0].sum()),
        len(own.start),
        _SETTINGS.max_false_alarm,
        _SETTINGS.confidence,
    )
    alarms, mutants = _run(sums["clean"], bounds, threshold)
    return _Detection(
        float(alarms[parts["clean"].correct].mean()),
        float(mutants.mean()),
        {
            kind: float(_run(each, bounds, threshold)[0].mean())
            for kind, each in sums.items()
            if kind not in _CLEAN_PARTS
        },
    )


def _run(
    sums: _Sums, bounds: dict[int, float], threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the alarms and the mutants used.

    An image is cleared at a bound, and an alarm is raised at the threshold. Scores may be negative,
    so an alarm before the last mutant is not always one that all mutants would raise.
    """
    alarms = sums.start >= threshold
    used = np.zeros(len(alarms), dtype=np.int64)
    going = ~alarms
    for n in range(1, sums.after.shape[1] + 1):
        total = sums.after[:, n - 1]
        used[going] = n
        alarms |= going & (total >= threshold)
        going &= total < threshold
        if n in bounds:
            going &= total > bounds[n]
    return alarms, used


def _bounds(after: Floats, share: Callable[[int], float]) -> dict[int, float]:
    """Return bounds after 1, 2, 4, … mutants, such that clean images take the budget."""
    places = [2**power for power in range(after.shape[1].bit_length()) if 2**power < after.shape[1]]

    def at(going_on: float) -> dict[int, float]:
        shares = {n: going_on * share(n) for n in places}
        return {n: float(np.quantile(after[:, n - 1], 1 - left)) for n, left in shares.items() if left > 0}

    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        mutants = _run(_Sums(np.full(len(after), -np.inf), after), at(middle), np.inf)[1].mean()
        low, high = (middle, high) if mutants <= _SETTINGS.budget else (low, middle)
    return at(low)


def _p_values(choice: Floats) -> Score:
    """Return conformal p-values of doubts against all those of clean images.

    Source: Vovk, Gammerman, Shafer 2005.
    """
    clean = np.sort(choice.ravel())
    return lambda doubts: (1 + len(clean) - np.searchsorted(clean, doubts)) / (1 + len(clean))


def _e_process(choice: Floats) -> Score:
    p_value = _p_values(choice)
    return lambda doubts: np.log(_SHARPNESS) + (_SHARPNESS - 1) * np.log(p_value(doubts))


def _likelihood(choice: Floats) -> Score:
    """Return the log likelihood ratio of a doubt, uniform against a histogram of clean images.

    The histogram's bins are on a log scale.
    """
    edges = np.concatenate([[0.0], np.geomspace(1e-6, 1, _BINS)])
    counted = np.histogram(choice.ravel(), edges)[0] + 1
    clean = counted / counted.sum()
    uniform = np.diff(edges)
    ratio = np.log(uniform) - np.log(clean)
    return lambda doubts: ratio[np.clip(np.searchsorted(edges, doubts, side="right") - 1, 0, _BINS - 1)]


def _nominal(parts: dict[str, Recording], choice: Floats) -> str:
    """Describe the e-process at the threshold that would hold if mutants were independent."""
    clean = parts["clean"].only_correct()
    after = np.cumsum(_e_process(choice)(_doubts(clean)), axis=1)
    alarms = float((after.max(axis=1) >= np.log(1 / _SETTINGS.max_false_alarm)).mean())
    return (
        f"The e-process at its nominal threshold, 1/{_SETTINGS.max_false_alarm:g} (Ville), which holds for mutants "
        f"that are independent given a clean image, alarms on {100 * alarms:.1f} % of the clean images."
    )
