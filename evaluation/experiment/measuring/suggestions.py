"""Label that mutants agree on instead of the original's, where there is an alarm.

The question is how often it is the true one.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation import metrics
from evaluation.experiment.measuring.verdicts import Verdicts
from evaluation.experiment.records.intervals import resampled
from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.trained_results import SuggestionCell

Labels = NDArray[np.int64]

NONE = -1
"""Label where no mutant was consumed."""


def suggested(labels: Labels, mutants: Labels) -> tuple[Labels, NDArray[np.float64]]:
    """Return the server's suggestion: the most frequent label and its share.

    Among equals it is the label that was met first.

    Args:
        labels: int64 [images, pool], of mutants in the order they are met.
        mutants: int64 [images], number of them that were consumed.

    Returns:
        Labels int64 [images], -1 where no mutant was consumed, and shares float64 [images].
    """
    found = np.full(len(labels), NONE, dtype=np.int64)
    shares = np.zeros(len(labels))
    for place, (row, used) in enumerate(zip(labels, mutants.tolist(), strict=True)):
        if used:
            ((label, votes),) = Counter(row[:used].tolist()).most_common(1)
            found[place], shares[place] = label, votes / used
    return found, shares


def suggestion_cell(
    operator: str, policy: str, kind: str, truth: Labels, pools: Sequence[tuple[Verdicts, Labels]]
) -> SuggestionCell:
    """Return how good suggestions are on a kind.

    Args:
        operator: operator that made the mutants.
        policy: policy that raised the alarms.
        kind: kind of the images.
        truth: int64 [images], the true labels.
        pools: for each pool, its verdicts and the labels of all its mutants, int64 [images,
            mutants], as they are met.
    """
    alarms, told, right, everyone, shares = [], [], [], [], []
    for verdicts, labels in pools:
        alarm = verdicts.adversarial
        consumed, share = suggested(labels, verdicts.mutants)
        whole, _ = suggested(labels, np.full(len(labels), labels.shape[1]))
        alarms.append(alarm)
        told.append(alarm & (consumed != NONE))
        right.append(alarm & (consumed == truth))
        everyone.append(alarm & (whole == truth))
        shares.append(share[alarm & (consumed != NONE)])
    raised, with_label, well, by_all = (
        np.stack(flags).sum(axis=0, dtype=np.float64) for flags in (alarms, told, right, everyone)
    )
    agreed = np.concatenate(shares)
    return SuggestionCell(
        operator=operator,
        policy=policy,
        kind=kind,
        alarms=int(raised.sum()),
        suggested=_share(with_label, raised),
        right=_share(well, with_label),
        right_of_all=_share(by_all, raised),
        agreed=float(agreed.mean()) if len(agreed) else None,
    )


def _share(hits: NDArray[np.float64], trials: NDArray[np.float64]) -> Interval | None:
    """Return hits per trial; images are resampled with all their pools."""
    tried = trials > 0
    if not tried.any():
        return None
    return resampled(metrics.share(hits[tried], trials[tried]))
