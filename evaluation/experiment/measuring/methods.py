"""Separation of kinds by detectors: areas, detection at thresholds, ROC curves.

The thresholds come from clean images.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation import metrics
from evaluation.experiment.measuring.detectors import OURS, KindScores, ScoredDetector
from evaluation.experiment.measuring.verdicts import Verdicts
from evaluation.experiment.records.intervals import resampled
from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import NORMAL, Method, MethodCell, RocCurve

_AXIS = np.concatenate([[0.0], np.geomspace(1e-3, 1, 61)])

_DIGITS = 4
"""Number of digits of points on a curve: they are for the eye, and there are many."""

Bools = NDArray[np.bool_]


def alarms(scores: NDArray[np.float64], calibration: NDArray[np.float64], false_alarms: float) -> Bools:
    """Return scores above the thresholds that calibration scores give, bool [pools, N].

    Args:
        scores: float64 [pools, N].
        calibration: float64 [pools, C].
        false_alarms: share of false alarms that a threshold is made for.
    """
    thresholds = [metrics.threshold(clean, false_alarms) for clean in calibration]
    return np.asarray(scores > np.array(thresholds)[:, None])


def method(detector: ScoredDetector, milliseconds: float | None) -> Method:
    """Return a detector's row: its cost, and its false alarms on test images (mean over kinds)."""
    return Method(
        name=detector.name,
        family=detector.family,
        note=detector.note,
        forward_passes=detector.forward_passes,
        milliseconds=milliseconds,
        false_alarms_1=_false_alarms(detector, 0.01),
        false_alarms_5=_false_alarms(detector, 0.05),
    )


def cells(detector: ScoredDetector) -> list[MethodCell]:
    """Return a detector's cells, one a kind."""
    return [_cell(detector.name, kind, scores) for kind, scores in detector.kinds.items()]


def curves(detector: ScoredDetector) -> list[RocCurve]:
    """Return a detector's ROC curves, one a kind; the mean over pools."""
    return [
        RocCurve(
            method=detector.name,
            kind=kind,
            false_alarms=_AXIS.round(_DIGITS).tolist(),
            detected=np.mean(
                [metrics.roc(low, high, _AXIS) for low, high in zip(scores.normal, scores.kind, strict=True)],
                axis=0,
            )
            .round(_DIGITS)
            .tolist(),
        )
        for kind, scores in detector.kinds.items()
    ]


def policy(
    name: str, note: str, verdicts: Mapping[str, Sequence[Verdicts]], milliseconds: float | None
) -> tuple[Method, list[MethodCell]]:
    """Return a policy as a detector with one operating point.

    Args:
        name: name of the policy.
        note: description of the policy.
        verdicts: its verdicts by kind, one a pool.
        milliseconds: time of one image.
    """
    normal = np.stack([found.adversarial for found in verdicts[NORMAL]])
    rate = resampled(metrics.mean(normal.mean(axis=0)))
    mutants = float(np.mean([found.mutants for found in verdicts[NORMAL]]))
    row = Method(
        name=name,
        family=OURS,
        note=note,
        forward_passes=1 + mutants,
        milliseconds=milliseconds,
        false_alarms_1=None,
        false_alarms_5=rate,
    )
    found = []
    for kind, each in verdicts.items():
        if kind != NORMAL:
            caught = np.stack([one.adversarial for one in each])
            found.append(
                MethodCell(
                    method=name,
                    kind=kind,
                    auroc=None,
                    detected_1=None,
                    detected_5=_share(caught),
                    matthews=_matthews(normal, caught),
                )
            )
    return row, found


def _cell(name: str, kind: str, scores: KindScores) -> MethodCell:
    at_1, at_5 = (alarms(scores.kind, scores.calibration, rate) for rate in (0.01, 0.05))
    return MethodCell(
        method=name,
        kind=kind,
        auroc=resampled(metrics.auroc(scores.normal, scores.kind)),
        detected_1=_share(at_1),
        detected_5=_share(at_5),
        matthews=_matthews(alarms(scores.normal, scores.calibration, 0.05), at_5),
    )


def _false_alarms(detector: ScoredDetector, rate: float) -> Interval:
    # Where the detector was trained on the kind there is one such rate a kind.
    found = [alarms(scores.normal, scores.calibration, rate) for scores in detector.kinds.values()]
    return resampled(metrics.mean(np.mean([flags.mean(axis=0) for flags in found], axis=0)))


def _share(flags: Bools) -> Interval:
    return resampled(metrics.mean(flags.mean(axis=0)))


def _matthews(normal: Bools, kind: Bools) -> float:
    return float(np.mean([metrics.matthews(low, high) for low, high in zip(normal, kind, strict=True)]))
