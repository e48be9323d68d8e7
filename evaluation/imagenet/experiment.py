"""One experiment with published classifiers, from its configuration to its results."""

from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation import hardware
from evaluation.adaptive.run import adaptive
from evaluation.adaptive.settings import Joint
from evaluation.attacks.digest import digest
from evaluation.baselines.base import Detector
from evaluation.baselines.confidence import Confidence
from evaluation.baselines.feature_squeezing import FeatureSqueezing
from evaluation.experiment.material.clock import Clock
from evaluation.experiment.measuring import methods
from evaluation.experiment.measuring.detectors import CLEAN, FREE, OURS, KindScores, ScoredDetector
from evaluation.experiment.measuring.paired import paired_cells
from evaluation.experiment.measuring.robustness import Attacked, Judge, adaptive_cells
from evaluation.experiment.measuring.verdicts import Verdicts, in_server_order, judged, policy_cell
from evaluation.experiment.records.intervals import counted
from evaluation.experiment.records.results import (
    NORMAL,
    WRONG,
    AdaptiveCell,
    Environment,
    KindResult,
    Method,
    MethodCell,
    PolicyCell,
    Results,
)
from evaluation.experiment.records.targets import target_cells
from evaluation.imagenet.attacked import attack
from evaluation.imagenet.config import Config
from evaluation.imagenet.known_companions import KnownCompanions
from evaluation.imagenet.photographs import CALIBRATION, Photographs
from evaluation.imagenet.pictures import PictureClassifier
from evaluation.imagenet.stores import GuardedClassifier
from evaluation.sample_set import SampleSet
from evaluation.workspace import Workspace
from mutant_guard.bank.cores import available_cores
from mutant_guard.errors import DataError
from mutant_guard.store.model_card import DataRange
from mutant_store.datasets import ImageData
from mutant_store.reporter import Reporter

_POLICY = "calibrated"
_TOGETHER = 25
_JOINTLY = 4
"""Number of pictures attacked jointly at a time: gradients of several networks need much memory."""

Scores = NDArray[np.float64]


class Experiment:
    """Steps of one experiment; what was done before is read instead."""

    def __init__(
        self, name: str, config: Config, data: Path, workspace: Workspace, report: Reporter, threads: int
    ) -> None:
        """Describe the experiment; nothing is done.

        Args:
            name: name of the experiment.
            config: configuration of the experiment.
            data: folder of the data.
            workspace: workspace that keeps intermediate results.
            report: reporter that is told of the steps.
            threads: CPU threads of the stores and of clean images; attacks take one.
        """
        self._name, self._config, self._workspace, self._report = name, config, workspace, report
        self._data, self._threads = data, threads
        self._clock = Clock(workspace.path / "seconds.json")

    def run(self) -> Results:
        """Do what is missing and return the results.

        Raises:
            GuardError: the data, the packages or the settings do not allow it.
        """
        config, clock = self._config, self._clock
        torch.set_num_threads(self._threads or available_cores())
        with clock.measured("adversarial images"):
            samples, records = self._samples()
        detectors: list[ScoredDetector] = []
        rows: list[Method] = []
        cells: list[MethodCell] = []
        policies: list[PolicyCell] = []
        judges: dict[str, Judge] = {}
        stores = [self._guarded(store.name) for store in config.stores]
        for guarded in stores:
            with clock.measured(f"store {guarded.name}"):
                detectors.append(self._of_store(guarded, samples))
                row, found, answers = self._policy(guarded, samples)
                rows.append(row)
                cells += found
                policies += answers
                if config.joint is not None and guarded.name == config.joint.store:
                    judges[row.name] = partial(self._served, guarded)
                guarded.close()
        with clock.measured("baselines"):
            for detector in (Confidence(), FeatureSqueezing(config.squeezing_bits, 2)):
                detectors.append(self._of_baseline(detector, samples))
        with clock.measured("adaptive attacks"):
            attacked = self._joint(judges, stores)
        rows = [methods.method(one, None) for one in detectors] + rows
        cells = [cell for one in detectors for cell in methods.cells(one)] + cells
        sizes = {kind: len(one) for kind, one in samples.items()}
        right = int((self._labels == self._tested).sum())
        return Results(
            name=self._name,
            title=config.title,
            model=config.original,
            data=config.photographs,
            accuracy=counted(right, len(self._tested)),
            test_images=len(self._tested),
            folded=False,
            operators=[store.name for store in config.stores],
            rates=[],
            main_rates={},
            seeds=[config.seed],
            mutants=0,
            environment=Environment(
                hardware=hardware.hardware(), versions=hardware.versions(), seconds=clock.seconds
            ),
            kinds=records,
            pools=[],
            label_change_rates=[],
            distances=[],
            aurocs=[],
            detection=[],
            paper_detection=[],
            policies=policies,
            costs=[],
            methods=rows,
            cells=cells,
            curves=[curve for one in detectors for curve in methods.curves(one)],
            histograms=[],
            mutants_used=[],
            scatter=[],
            adaptive=attacked,
            shifts=[],
            agreement=[],
            differences=[],
            sizes={},
            paired=paired_cells(detectors, config.against),
            targets=target_cells(config.targets, sizes, cells, [], attacked),
        )

    @cached_property
    def _photographs(self) -> Photographs:
        config = self._config
        return Photographs.unpacked(
            config.source(self._data), self._workspace.path, config.calibrating, config.seed
        )

    @cached_property
    def _original(self) -> PictureClassifier:
        return PictureClassifier.of(self._config.original)

    @property
    def _tested(self) -> NDArray[np.int64]:
        return self._photographs.tested

    @cached_property
    def _pictures(self) -> NDArray[np.uint8]:
        return self._photographs.squares(self._tested)

    @cached_property
    def _labels(self) -> NDArray[np.int64]:
        """The original's labels of the tested photographs."""
        return self._labels_of("tested", self._pictures)

    def _labels_of(self, name: str, pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
        inputs = {"original": self._config.original, "photographs": self._photographs.folder.name}

        def make() -> dict[str, NDArray[np.int64]]:
            self._report.step(f"labels of the {name} photographs")
            return {"labels": np.asarray(self._original.logits(pictures).argmax(axis=1))}

        return self._workspace.within("labels").arrays(name, inputs, make)["labels"]

    def _samples(self) -> tuple[dict[str, SampleSet], list[KindResult]]:
        config = self._config
        right = np.flatnonzero(self._labels == self._tested)
        wrong = np.flatnonzero(self._labels != self._tested)
        if not len(right) or not len(wrong):
            raise DataError("the tested photographs have no rightly or no wrongly labelled one")
        everything = self._set(NORMAL, right)
        sets = {NORMAL: everything.head(config.normal), WRONG: self._set(WRONG, wrong[: config.wrong])}
        records = [_clean(one) for one in sets.values()]
        for settings in config.attacks:
            found = attack(self._original, settings, everything, config.seed, self._workspace, self._report)
            records.append(found.record)
            if len(found.samples):
                sets[settings.name] = found.samples
        return sets, records

    def _set(self, kind: str, places: NDArray[np.int64]) -> SampleSet:
        return SampleSet(kind, self._pictures[places], self._tested[places], places)

    def _guarded(self, name: str) -> GuardedClassifier:
        settings = self._config.store(name)
        return GuardedClassifier(
            name,
            self._config.original,
            settings.companions,
            self._photographs,
            self._workspace,
            self._report,
            settings.options,
        )

    def _of_store(self, guarded: GuardedClassifier, samples: dict[str, SampleSet]) -> ScoredDetector:
        clean = guarded.scores(guarded.calibration().only_correct())
        scores = {kind: guarded.scores(guarded.recording(one)) for kind, one in samples.items()}
        soft = guarded.evidence is not None
        return ScoredDetector(
            f"{'doubt' if soft else 'LCR'} {guarded.name}",
            OURS,
            "whole evidence of all mutants" if soft else "label change rate over all mutants",
            1.0 + guarded.store.manifest.mutants,
            _by_kind(scores, clean),
            doubts=soft,
        )

    def _policy(
        self, guarded: GuardedClassifier, samples: dict[str, SampleSet]
    ) -> tuple[Method, list[MethodCell], list[PolicyCell]]:
        verdicts = {kind: [self._verdicts(guarded, one)] for kind, one in samples.items()}
        row, cells = methods.policy(
            f"{_POLICY} {guarded.name}", "the store's own policy, as it is served", verdicts, None
        )
        answers = [policy_cell(guarded.name, _POLICY, kind, found) for kind, found in verdicts.items()]
        return row, cells, answers

    def _verdicts(self, guarded: GuardedClassifier, samples: SampleSet) -> Verdicts:
        recording = in_server_order(guarded.store, samples, guarded.recording(samples))
        return judged(guarded.store.policy(_POLICY), recording)

    def _served(self, guarded: GuardedClassifier, samples: SampleSet) -> NDArray[np.bool_]:
        return self._verdicts(guarded, samples).adversarial

    def _of_baseline(self, detector: Detector, samples: dict[str, SampleSet]) -> ScoredDetector:
        model = self._original.on_pictures
        calibrating = self._photographs.calibrating
        pictures = self._photographs.squares(calibrating)
        held = DataRange(spec=self._photographs.spec(CALIBRATION), source="", start=0, stop=len(pictures))
        data = ImageData(pictures, calibrating, tuple(self._photographs.names), held)
        detector.fit(model, data, self._config.seed, self._workspace)
        right = self._labels_of("calibrating", pictures) == calibrating
        calibration = SampleSet("calibration", pictures[right], calibrating[right], calibrating[right])
        scores = {kind: self._scores(detector, one) for kind, one in samples.items()}
        family = FREE if detector.forward_passes == 1 else CLEAN
        return ScoredDetector(
            detector.name,
            family,
            detector.note,
            detector.forward_passes,
            _by_kind(scores, self._scores(detector, calibration)),
        )

    def _scores(self, detector: Detector, samples: SampleSet) -> Scores:
        def make() -> dict[str, Scores]:
            parts = []
            for start in range(0, len(samples), _TOGETHER):
                parts.append(detector.scores(samples.images[start : start + _TOGETHER]))
                done = min(start + _TOGETHER, len(samples))
                self._report.progress(done, len(samples), f"{detector.name}: {samples.kind}")
            return {"scores": np.concatenate(parts)}

        inputs = {
            "original": self._config.original,
            "bits": self._config.squeezing_bits,
            "pictures": samples.digest,
        }
        kept = self._workspace.within("scores")
        return kept.arrays(f"{detector.name}-{samples.file_name}", inputs, make)["scores"]

    def _joint(self, judges: dict[str, Judge], stores: list[GuardedClassifier]) -> list[AdaptiveCell]:
        joint = self._config.joint
        if joint is None:
            return []
        right = np.flatnonzero(self._labels == self._tested)[: joint.images]
        clean = self._set("joint", right)
        companions = self._config.store(joint.store).companions
        known = KnownCompanions(self._original, [PictureClassifier.of(name) for name in companions])
        attacked = []
        for settings in joint.attacks:
            self._report.step(f"joint attack, ε {settings.epsilon:.3g}")
            parts = []
            for start in range(0, len(clean), _JOINTLY):
                part = slice(start, start + _JOINTLY)
                parts.append(
                    self._jointly(known, settings, companions, clean.images[part], clean.labels[part])
                )
                self._report.progress(min(start + _JOINTLY, len(clean)), len(clean), "joint attack")
            images = np.concatenate(parts)
            samples = SampleSet(f"joint {settings.epsilon:.3g}", images, clean.labels, clean.sources)
            fools = self._original.logits(images).argmax(axis=1) != clean.labels
            attacked.append(Attacked("joint", "store", settings.epsilon, samples, fools))
        cells = adaptive_cells(attacked, judges)
        for guarded in stores:
            guarded.close()
        return cells

    def _jointly(
        self,
        known: KnownCompanions,
        settings: Joint,
        companions: tuple[str, ...],
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
    ) -> NDArray[np.uint8]:
        """Return pictures that the attack made, kept once they were."""
        inputs = {
            "original": self._config.original,
            "companions": list(companions),
            "settings": settings.model_dump(),
            "pictures": digest(images.tobytes(), labels.tobytes()),
            "seed": self._config.seed,
        }

        def make() -> dict[str, NDArray[np.uint8]]:
            return {"images": adaptive(known, settings, images, labels, self._config.seed)}

        return self._workspace.within("joint").arrays("joint", inputs, make)["images"]


def _by_kind(scores: dict[str, Scores], calibration: Scores) -> dict[str, KindScores]:
    return {
        kind: KindScores(scores[NORMAL][None], found[None], calibration[None])
        for kind, found in scores.items()
        if kind != NORMAL
    }


def _clean(samples: SampleSet) -> KindResult:
    return KindResult(
        kind=samples.kind,
        paper=None,
        method=None,
        settings={},
        attempts=len(samples),
        success=None,
        images=len(samples),
        l2=None,
        linf=None,
        linf_most=None,
        seconds=None,
    )
