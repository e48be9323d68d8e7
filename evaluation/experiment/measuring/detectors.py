"""Scores of every detector on the same images, kept once they were computed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.attacks.digest import file_digest
from evaluation.baselines import BaselineSettings, Detector, FeatureDetector, baselines, cross_fitted, sample
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.measuring.doubt_score import DoubtScore
from evaluation.experiment.records.results import NORMAL
from evaluation.sample_set import SampleSet
from evaluation.workspace import Workspace
from mutant_guard.decision.calibration.recording import Recording
from mutant_store.reporter import Reporter

Scores = NDArray[np.float64]

Call = Callable[[NDArray[np.uint8]], Scores]
"""Function that returns scores, or features, of images uint8 [N, H, W, C]."""

OURS, FREE, CLEAN, ATTACKS = "ours", "free", "clean", "attacks"
"""Families of detectors.

They are label change rates and policies; one forward pass; clean data alone; trained on attacks.
"""

_TOGETHER = 500
_TUNED_ON = 500


@dataclass(frozen=True, eq=False)
class KindScores:
    """Scores of normal images, of one kind, and of clean calibration images.

    Each is float64 [pools, images].
    """

    normal: Scores
    kind: Scores
    calibration: Scores


@dataclass(frozen=True, eq=False)
class ScoredDetector:
    """Detector with its scores.

    Attributes:
        name: name of the detector.
        family: one of the families above.
        note: differences from its publication.
        forward_passes: number of forward passes an image.
        kinds: its scores by kind; those of normal images differ by kind where it was trained on the
            kind.
        once: function that returns scores, or features, of any images uint8 [N, H, W, C]; None
            where they come from mutants.
        doubts: whether it sums up the doubts of mutants.
    """

    name: str
    family: str
    note: str
    forward_passes: float
    kinds: Mapping[str, KindScores]
    once: Call | None = None
    doubts: bool = False


def label_change_detector(
    operator: str, recordings: Mapping[str, list[Recording]], calibration: list[Recording]
) -> ScoredDetector:
    """Return the label change rate over all mutants as a detector.

    Args:
        operator: name of the operator.
        recordings: recordings by kind, one a pool.
        calibration: recordings of the calibration images, one a pool.
    """
    rates = {kind: np.stack([recording.rates for recording in found]) for kind, found in recordings.items()}
    clean = np.stack([found.only_correct().rates for found in calibration])
    return ScoredDetector(
        f"LCR {operator}",
        OURS,
        "label change rate over all mutants",
        1.0 + calibration[0].pool,
        {kind: KindScores(rates[NORMAL], found, clean) for kind, found in rates.items() if kind != NORMAL},
    )


def doubt_detector(
    operator: str,
    recordings: Mapping[str, list[Recording]],
    calibration: list[Recording],
    by_pool: Sequence[DoubtScore],
    few: int | None = None,
) -> ScoredDetector:
    """Return the doubts of mutants and the weighted one of the original as a detector.

    Args:
        operator: name of the operator.
        recordings: recordings by kind, one a pool.
        calibration: recordings of the calibration images, one a pool.
        by_pool: score of each pool.
        few: number of the first mutants that are taken instead of all.

    Raises:
        ValueError: no doubts were recorded.
    """

    def sums(found: Iterable[Recording]) -> Scores:
        return np.stack([score.scores(one, few) for one, score in zip(found, by_pool, strict=True)])

    scores = {kind: sums(found) for kind, found in recordings.items()}
    clean = sums(found.only_correct() for found in calibration)
    alone = ", or that of a robust one alone" if any(score.robust for score in by_pool) else ""
    return ScoredDetector(
        f"doubt {operator}" if few is None else f"doubt {operator} {few}",
        OURS,
        f"summed doubt of {'all' if few is None else f'the first {few}'} mutants and of the classifier itself{alone}",
        1.0 + (few or calibration[0].pool),
        {kind: KindScores(scores[NORMAL], found, clean) for kind, found in scores.items() if kind != NORMAL},
        doubts=True,
    )


class Baselines:
    """Other detectors on the images of an experiment."""

    def __init__(
        self, subject: ExperimentSubject, settings: BaselineSettings, workspace: Workspace, report: Reporter
    ) -> None:
        """Prepare the detectors; nothing is computed yet, and ``workspace`` keeps what will be."""
        self._subject, self._settings, self._report = subject, settings, report
        self._ready: set[Detector | FeatureDetector] = set()
        self._kept = workspace.within("scores")
        self._fitted = workspace.within("baselines")
        self._identity = {
            "model": file_digest(subject.weights_file),
            "settings": settings.model_dump(),
            "seed": subject.config.seed,
        }

    def scored(self, samples: Mapping[str, SampleSet], clean: SampleSet) -> list[ScoredDetector]:
        """Return all baselines with their scores.

        Args:
            samples: images by kind, ``normal`` among them.
            clean: rightly labelled calibration images.
        """
        return [self._scored(detector, samples, clean) for detector in baselines(self._settings)]

    def _scored(
        self, detector: Detector | FeatureDetector, samples: Mapping[str, SampleSet], clean: SampleSet
    ) -> ScoredDetector:
        values = {kind: self._values(detector, found) for kind, found in samples.items()}
        reference = self._values(detector, clean)
        kinds = {}
        for kind, found in samples.items():
            if kind == NORMAL:
                continue
            if isinstance(detector, FeatureDetector):
                fitted = cross_fitted(
                    values[NORMAL],
                    samples[NORMAL].sources,
                    values[kind],
                    found.sources,
                    reference,
                    self._subject.config.seed,
                )
                kinds[kind] = KindScores(fitted.normal[None], fitted.kind[None], fitted.calibration[None])
            else:
                kinds[kind] = KindScores(values[NORMAL][None], values[kind][None], reference[None])
        family = FREE if detector.forward_passes == 1 else CLEAN
        return ScoredDetector(
            detector.name,
            ATTACKS if detector.trained_on_attacks else family,
            detector.note,
            detector.forward_passes,
            kinds,
            lambda image: self._ask(detector, image),
        )

    def _values(self, detector: Detector | FeatureDetector, found: SampleSet) -> Scores:
        """Return scores float64 [N], or features [N, F], of a set."""

        def make() -> dict[str, Any]:
            parts = []
            for start in range(0, len(found), _TOGETHER):
                parts.append(self._ask(detector, found.images[start : start + _TOGETHER]))
                done = min(start + _TOGETHER, len(found))
                self._report.progress(done, len(found), f"{detector.name}: {found.kind}")
            return {"values": np.concatenate(parts)}

        name = f"{detector.name}-{found.file_name}"
        kept = self._kept.arrays(name, {**self._identity, "images": found.digest}, make)
        return np.asarray(kept["values"])

    def _ask(self, detector: Detector | FeatureDetector, images: NDArray[np.uint8]) -> Scores:
        if detector not in self._ready:
            self._ready.add(detector)
            self._report.step(f"fitting {detector.name}")
            seed = self._subject.config.seed
            train = sample(self._subject.train, self._settings.training_images, seed)
            detector.fit(self._subject.model, train, seed, self._fitted)
            if isinstance(detector, Detector):
                clean = self._subject.calibration
                detector.tune(clean.part(0, min(_TUNED_ON, len(clean))))
        return detector.features(images) if isinstance(detector, FeatureDetector) else detector.scores(images)
