"""Softmax of the classifier itself as a detector.

It is free, and as good as label changes on many kinds of images. Hendrycks, Gimpel: A baseline for
detecting misclassified and out-of-distribution examples in neural networks. ICLR 2017 (the largest
probability); entropy and margin are the usual alternatives from active learning.
"""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from evaluation.baselines.base import Detector
from evaluation.baselines.probabilities import log_doubt
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


class _OfLogits(Detector):
    def _learn(self, model: TrainedModel, train: ImageData, seed: int, workspace: Workspace) -> None:
        """Learn nothing."""

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return self.of_logits(logits(self.model.network, self.model.classifier, images))

    @abstractmethod
    def of_logits(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return scores float64 [N] of logits [N, classes]."""


class Confidence(_OfLogits):
    """log(1 − p), p the largest probability.

    It ranks as 1 − p does, without ties where p rounds to 1.
    """

    name: ClassVar[str] = "softmax confidence"
    note: ClassVar[str] = "In the log domain, so that saturated probabilities still rank."

    def of_logits(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        return log_doubt(values, values.argmax(axis=1))


class Entropy(_OfLogits):
    """Entropy of the probabilities, in nats."""

    name: ClassVar[str] = "softmax entropy"

    def of_logits(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        # −p log p of the largest p would round to 0 long before the others do; −log p is log1p of
        # the odds of them.
        logs = log_softmax(values.astype(np.float64), axis=1)
        top = values.argmax(axis=1)[:, None]
        doubt = np.exp(log_doubt(values, top[:, 0]))[:, None]
        certain = doubt < 0.5
        first = np.where(certain, np.log1p(-np.minimum(doubt, 0.5)), np.take_along_axis(logs, top, axis=1))
        np.put_along_axis(logs, top, first, axis=1)
        entropy: NDArray[np.float64] = -(np.exp(logs) * logs).sum(axis=1)
        return entropy


class Margin(_OfLogits):
    """log(1 − (p₁ − p₂)), p₁ and p₂ the two largest probabilities."""

    name: ClassVar[str] = "softmax margin"
    note: ClassVar[str] = "In the log domain, so that saturated probabilities still rank."

    def of_logits(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        second = np.sort(log_softmax(values.astype(np.float64), axis=1), axis=1)[:, -2]
        margin: NDArray[np.float64] = np.logaddexp(log_doubt(values, values.argmax(axis=1)), second)
        return margin
