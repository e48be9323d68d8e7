"""Score of images by the doubts of all mutants of a pool."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.experiment.material.pools import soft_evidence
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.store.reader import Store

_POLICY = "calibrated"


@dataclass(frozen=True)
class DoubtScore:
    """Score of images by the doubts of all mutants of a pool, in mutants of full doubt.

    It is the summed doubt of the mutants and the weighted one of the original. Where robust mutants
    alone may raise an alarm, the policy has two bounds, b on what the first mutant says and t on
    the sum. The score is then max(sum, t/b · first), where first is the original's weighted doubt
    and the greatest of a robust mutant, one of which is the first that a request hears. It reaches
    t where all mutants raise the policy's alarm, which stages may not wait for.

    Attributes:
        evidence: doubts of the pool's policies.
        robust: positions of the robust mutants in the pool, counted from 0.
        factor: t/b of the policy; 1 where the first mutant has no bound of its own.
    """

    evidence: Doubts
    robust: tuple[int, ...] = ()
    factor: float = 1.0

    @classmethod
    def of(cls, store: Store) -> "DoubtScore | None":
        """Return the score for a store's pool; None where its policies count label changes."""
        evidence = soft_evidence(store)
        if evidence is None:
            return None
        bounds = store.policy(_POLICY).boundaries.adversarial_at_least
        places = tuple(record.mutant - 1 for record in store.manifest.robust)
        return cls(evidence, places, float(bounds[-1] / bounds[1]))

    def scores(self, recording: Recording, few: int | None = None) -> NDArray[np.float64]:
        """Return the scores of recorded images, float64 [images].

        Args:
            recording: recording with doubts, mutants in the order of the pool.
            few: number of the first mutants that are taken instead of all.

        Raises:
            ValueError: no doubts were recorded.
        """
        if recording.doubts is None or recording.own_doubts is None:
            raise ValueError("no doubts were recorded")
        doubts, own = recording.doubts[:, :few], self.evidence.weighted(recording.own_doubts)
        total = np.asarray(own + doubts.sum(axis=1, dtype=np.int64), dtype=np.float64)
        heard = [place for place in self.robust if place < doubts.shape[1]]
        if heard:
            total = np.maximum(total, self.factor * (own + doubts[:, heard].max(axis=1)))
        return total / self.evidence.unit
