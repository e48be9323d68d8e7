"""Comparison of two detectors on the same images, resampled for both together."""

from collections.abc import Iterable

import numpy as np

from evaluation import metrics
from evaluation.experiment.measuring.detectors import KindScores, ScoredDetector
from evaluation.experiment.measuring.methods import alarms
from evaluation.experiment.records.intervals import resampled
from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.trained_results import PairedCell


def paired_cells(detectors: Iterable[ScoredDetector], against: Iterable[str]) -> list[PairedCell]:
    """Return every detector on doubts against those named, a cell a kind.

    Raises:
        ValueError: one of those named is not among the detectors.
    """
    known = {one.name: one for one in detectors}
    ours = [one for one in known.values() if one.doubts]
    if unknown := sorted(set(against) - set(known)):
        raise ValueError(f"there is no detector {', '.join(unknown)}")
    return [
        _cell((one.name, one.kinds[kind]), (name, known[name].kinds[kind]), kind)
        for one in ours
        for name in against
        for kind in one.kinds
    ]


def _cell(ours: tuple[str, KindScores], other: tuple[str, KindScores], kind: str) -> PairedCell:
    (method, mine), (against, theirs) = ours, other
    return PairedCell(
        method=method,
        other=against,
        kind=kind,
        images=mine.kind.shape[1],
        auroc=resampled(
            metrics.auroc_difference((mine.normal, mine.kind), (theirs.normal, theirs.kind)),
        ),
        detected_5=_detection(mine, theirs, 0.05),
        detected_1=_detection(mine, theirs, 0.01),
    )


def _detection(mine: KindScores, theirs: KindScores, false_alarms: float) -> Interval:
    found, other = (
        alarms(scores.kind, scores.calibration, false_alarms).mean(axis=0, dtype=np.float64)
        for scores in (mine, theirs)
    )
    return resampled(metrics.mean(found - other))
