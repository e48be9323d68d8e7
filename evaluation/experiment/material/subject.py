"""Classifier of an experiment and its images: train, calibration and test are disjoint."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from evaluation.experiment.material.config import Config
from evaluation.experiment.records.results import NORMAL, WRONG
from evaluation.sample_set import SampleSet
from mutant_store.datasets import ImageData, load
from mutant_store.networks import weights
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


@dataclass(frozen=True)
class ExperimentSubject:
    """Classifier and images that the configuration names, read when they are first needed.

    Attributes:
        config: the configuration.
        folder: folder of its data.
    """

    config: Config
    folder: Path

    @property
    def weights_file(self) -> Path:
        """File of the classifier's weights, beside its ONNX file."""
        return self.config.model.with_suffix(".safetensors")

    @cached_property
    def model(self) -> TrainedModel:
        """Classifier in torch."""
        return weights.load(self.weights_file)

    @property
    def folded(self) -> bool:
        """Whether batch normalisation is folded into its layers before they are mutated."""
        return any(isinstance(module, nn.BatchNorm2d) for module in self.model.network.modules())

    @cached_property
    def train(self) -> ImageData:
        """Images that trained the classifier."""
        return self._load("train")

    @cached_property
    def filter(self) -> ImageData:
        """Half of the holdout that filters mutants, as ``mutant-store build`` cuts it."""
        holdout = self._load("holdout")
        return holdout.part(0, len(holdout) // 2)

    @cached_property
    def calibration(self) -> ImageData:
        """Other half of the holdout, which chooses and certifies the thresholds."""
        holdout = self._load("holdout")
        return holdout.part(len(holdout) // 2, len(holdout))

    @cached_property
    def test(self) -> ImageData:
        """Test split."""
        return self._load("test")

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Classifier's labels of the test split, int64 [N]."""
        return np.asarray(logits(self.model.network, self.model.classifier, self.test.images).argmax(axis=1))

    def clean(self) -> tuple[SampleSet, SampleSet]:
        """Return rightly and wrongly labelled test images, drawn at random."""
        right = self._set(NORMAL, self.right[: self.config.normal])
        wrong = np.flatnonzero(self.predicted != self.test.labels)
        return right, self._set(WRONG, self._shuffled(wrong)[: self.config.wrong])

    @cached_property
    def right(self) -> NDArray[np.int64]:
        """Positions of the rightly labelled test images, in the random order of attempts."""
        return self._shuffled(np.flatnonzero(self.predicted == self.test.labels))

    def _shuffled(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.random.default_rng(self.config.seed).permutation(positions)

    def _set(self, kind: str, positions: NDArray[np.int64]) -> SampleSet:
        return SampleSet(kind, self.test.images[positions], self.test.labels[positions], positions)

    def _load(self, split: str) -> ImageData:
        return load(self.config.spec(split, self.folder), shape=self.model.classifier.shape)
