"""Contributions of companions: what each sees alone, and with those before it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.calibration.intervals import clopper_pearson
from mutant_guard.decision.calibration.recording import Recording, joined
from mutant_guard.store.manifest import CompanionRecord
from mutant_guard.store.reader import Store
from mutant_store.calibrating.recordings import kept_recordings


@dataclass(frozen=True)
class Contribution:
    """Contribution of one companion, on the clean images that filtered no mutants.

    Attributes:
        companion: its record.
        accuracy: share of the filter's images that it gets right.
        agreement: share of clean images on which it agrees with the original.
        weight: weight of its evidence.
        wrong: number of images that the original gets wrong.
        alone: share of these that its evidence finds, at the false-alarm rate asked for.
        together: share that its evidence and that of the companions before it find.
    """

    companion: CompanionRecord
    accuracy: float
    agreement: float
    weight: float
    wrong: int
    alone: float
    together: float

    def interval(self, share: float) -> tuple[float, float]:
        """Return the interval of a share of the wrongly classified images (95 %)."""
        found = clopper_pearson(round(share * self.wrong), self.wrong)
        return found.low, found.high


def contributions(store: Store) -> list[Contribution]:
    """Return what each companion adds, in the order in which requests meet them.

    What they see of attacks is not known here: of the suspicious images, only those that the
    original gets wrong are at hand.

    Raises:
        StoreError: the store's recordings are missing or damaged.
    """
    doubts, manifest = store.calibration.doubts, store.manifest
    if doubts is None or not manifest.companions:
        return []
    weights = doubts.weights or [1.0] * manifest.mutants
    clean = joined(list(kept_recordings(store).values())).weighted(doubts.weights)
    order = sorted(manifest.companions, key=lambda companion: manifest.ranks[companion.mutant - 1])
    rate = store.calibration.settings.max_false_alarm
    found, sums = [], np.zeros(len(clean.correct))
    for companion in order:
        place = companion.mutant - 1
        mine = clean.doubts[:, place].astype(np.float64) if clean.doubts is not None else sums
        sums = sums + mine
        found.append(
            Contribution(
                companion,
                manifest.accuracies[place],
                float(1 - clean.changes[:, place].mean()),
                weights[place],
                int((~clean.correct).sum()),
                _found(clean, mine, rate),
                _found(clean, sums, rate),
            )
        )
    return found


def _found(clean: Recording, evidence: NDArray[np.float64], rate: float) -> float:
    """Return the share of wrongly classified images above the right ones' quantile; 0 of none."""
    threshold = np.quantile(evidence[clean.correct], 1 - rate, method="higher")
    wrong = evidence[~clean.correct]
    return float((wrong > threshold).mean()) if wrong.size else 0.0
