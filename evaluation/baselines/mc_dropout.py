"""Certainty of the classifier about its label when units are dropped.

Gal, Ghahramani: Dropout as a Bayesian approximation: Representing model uncertainty in deep
learning. ICML 2016.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from evaluation.baselines import dropout
from evaluation.baselines.base import Detector
from evaluation.baselines.dropout import DropoutEnsemble, DropoutSettings
from evaluation.baselines.probabilities import log_mean_doubt
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


class MonteCarloDropout(Detector):
    """log(1 − p), p the mean over passes with dropout of the probability of the label.

    The label is the classifier's own.
    """

    name: ClassVar[str] = "MC dropout"
    note: ClassVar[str] = (
        f"{dropout.NOTE} The score is the doubt of the classifier's label, in the log domain: mutual information "
        "is blind to inputs on which all passes agree on another label."
    )

    def __init__(self, settings: DropoutSettings) -> None:
        """Keep the settings of the dropout network."""
        self.settings = settings
        self.forward_passes = 1.0 + settings.passes
        self._ensemble: DropoutEnsemble

    def _learn(self, model: TrainedModel, train: ImageData, seed: int, workspace: Workspace) -> None:
        self._ensemble = dropout.fitted(model, train, self.settings, seed, workspace)

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        labels = logits(self.model.network, self.model.classifier, images).argmax(axis=1)
        return log_mean_doubt(self._ensemble.logits(images), labels)
