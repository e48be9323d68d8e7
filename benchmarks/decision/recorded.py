"""Policies on recorded label changes: their answers, exactly, over all orders of the pool."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.decision.optimum import fewest_mutants
from mutant_guard.decision.calibration.calibration import (
    CalibratedPolicy,
    CertifiedPolicy,
    CleanParts,
    calibrated_policy,
    fixed_policy,
    normal_rate,
    paper_test,
)
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.simulation import replay
from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.boundaries import Counts
from mutant_guard.decision.sequential.characteristic import over_pool
from mutant_guard.decision.sequential.policies import Decision, ErrorBounds, Policy
from mutant_guard.decision.sequential.sprt import Sprt
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_store.calibrating.recordings import unpack

_SETTINGS = CalibrationSettings()
WRONG = "wrongly labelled"


@dataclass(frozen=True)
class RecordedResult:
    """Results of a policy on one pool's test images.

    Attributes:
        false_alarm: probability of an alarm on rightly classified clean images.
        detection: probability of an alarm by kind of suspicious image.
        loss: difference between the detection of a threshold on the whole pool, at the same
            false-alarm rate, and the policy's.
        undecided: probability of no decision on all clean images.
        clean, suspicious: expected mutants of a clean image, and of a suspicious one, the mean of
            the kinds.
        alarms, images: false alarms counted with one order an image, and the images.
    """

    false_alarm: float
    detection: dict[str, float]
    loss: dict[str, float]
    undecided: float
    clean: float
    suspicious: float
    alarms: int
    images: int


@dataclass(frozen=True, eq=False)
class Pool:
    """Pool of mutants and its recorded label changes.

    Attributes:
        seed: seed of the pool.
        recordings: ``choice``, ``certification``, ``clean`` test images, and one recording for each
            attack.
    """

    seed: int
    recordings: dict[str, Recording]

    @classmethod
    def read(cls, path: Path) -> "Pool":
        """Read a file of ``evaluation.label_changes``, the pool's seed at the end of its name."""
        return cls(int(path.stem.rpartition("-")[2]), unpack(path))

    @cached_property
    def parts(self) -> CleanParts:
        """Clean images that policies are made from."""
        certification = self.recordings["certification"]
        return CleanParts(self.recordings["choice"], certification, certification.shuffled(self.seed))

    @property
    def size(self) -> int:
        """Number of mutants."""
        return self.recordings["clean"].pool

    @cached_property
    def everyone(self) -> Counts:
        """Label change counts of all clean test images."""
        return self.recordings["clean"].counts

    @cached_property
    def correct(self) -> Counts:
        """Label change counts of the rightly classified clean test images."""
        return self.recordings["clean"].only_correct().counts

    @cached_property
    def kinds(self) -> dict[str, Counts]:
        """Label change counts of suspicious images, by kind."""
        clean = self.recordings["clean"]
        attacks = self.recordings.keys() - {"choice", "certification", "clean"}
        kinds = {name: self.recordings[name].counts for name in sorted(attacks)}
        return {WRONG: self.everyone[~clean.correct], **kinds}

    @property
    def test(self) -> Sprt:
        """Test of Algorithm 1."""
        return paper_test(normal_rate(self.parts.choice), **_SETTINGS.nominal)

    def paper(self) -> Policy:
        """Return the policy ``paper``."""
        return builders.sequential("paper", self.test, self.size)

    @cached_property
    def paper_cost(self) -> float:
        """Number of mutants that ``paper`` takes for a clean image, as the choice part predicts."""
        found = over_pool(self.paper().boundaries, self.parts.choice.counts, self.size)
        return float(found.mutants.mean())

    def calibrated(self, clean_mutants: float) -> CalibratedPolicy:
        """Return the policy ``calibrated`` for an expected number of mutants."""
        settings = _SETTINGS.changed(clean_mutants=clean_mutants)
        return calibrated_policy(
            self.parts, **settings.certified, max_miss=settings.max_miss, clean_mutants=settings.budget
        )

    def fixed(self, mutants: int) -> CertifiedPolicy:
        """Return the policy ``fixed`` with this many mutants."""
        targets = ErrorBounds(_SETTINGS.max_miss, _SETTINGS.max_miss)
        return fixed_policy(self.parts, **_SETTINGS.certified, mutants=mutants, targets=targets)

    def outcome(self, policy: Policy) -> RecordedResult:
        """Return the results of a policy on the test images."""
        found = over_pool(policy.boundaries, np.arange(self.size + 1), self.size)
        false_alarm = float(found.adversarial[self.correct].mean())
        detection = {kind: float(found.adversarial[counts].mean()) for kind, counts in self.kinds.items()}
        reference = self._threshold(false_alarm)
        clean = self.recordings["clean"]
        counted = replay(policy, clean, self.seed).decisions == Decision.ADVERSARIAL
        return RecordedResult(
            false_alarm,
            detection,
            {kind: reference[kind] - detection[kind] for kind in detection},
            float(found.undecided[self.everyone].mean()),
            float(found.mutants[self.everyone].mean()),
            float(np.mean([found.mutants[counts].mean() for counts in self.kinds.values()])),
            int(counted[clean.correct].sum()),
            int(clean.correct.sum()),
        )

    def fewest(self, policy: Policy) -> float:
        """Return the least mutants on these clean images of any test with the policy's error rates.

        The bound is that of ``fewest_mutants``.
        """
        found = over_pool(policy.boundaries, np.arange(self.size + 1), self.size)
        high = policy.hypotheses.high
        return fewest_mutants(
            self.everyone,
            self.correct,
            high,
            self.size,
            false_alarm=float(found.adversarial[self.correct].mean()),
            miss=float(found.normal[high]),
        )

    def _threshold(self, false_alarm: float) -> dict[str, float]:
        """Return the detection of a threshold on the whole pool's count.

        The threshold is drawn between two neighbours so that the false-alarm rate is met exactly.
        """
        thresholds = np.arange(self.size + 2)
        alarms = _at_least(self.correct, thresholds)
        above = int(np.flatnonzero(alarms <= false_alarm)[0])
        share = 0.0
        if above > 0 and alarms[above - 1] > alarms[above]:
            share = float((false_alarm - alarms[above]) / (alarms[above - 1] - alarms[above]))
        detected = {kind: _at_least(counts, thresholds) for kind, counts in self.kinds.items()}
        return {
            kind: float((1 - share) * rates[above] + share * rates[max(above - 1, 0)])
            for kind, rates in detected.items()
        }


def _at_least(counts: Counts, thresholds: Counts) -> NDArray[np.float64]:
    """Return the share of the counts that reach each threshold."""
    return np.asarray(1 - np.searchsorted(np.sort(counts), thresholds) / counts.size)
