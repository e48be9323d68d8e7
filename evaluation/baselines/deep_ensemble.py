"""Doubt of the classifier's label by networks trained from other seeds.

Lakshminarayanan, Pritzel, Blundell: Simple and scalable predictive uncertainty estimation using
deep ensembles. NIPS 2017. Temperatures: Guo, Pleiss, Sun, Weinberger: On calibration of modern
neural networks. ICML 2017.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from evaluation.baselines.base import Detector, sample
from evaluation.baselines.probabilities import log_mean_doubt
from evaluation.baselines.training import derived_seed, train_network
from evaluation.training.trainer import Settings
from evaluation.workspace import Workspace
from mutant_guard.decision.evidence.kinds import fitted_temperature
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


class DeepEnsemble(Detector):
    """log(1 − p), p the mean over the members of the probability of the classifier's own label."""

    name: ClassVar[str] = "deep ensemble"
    note: ClassVar[str] = (
        "The classifier is one of the members; the others are trained without adversarial images, and for as many "
        "epochs as the settings say. In the log domain."
    )

    def __init__(
        self, members: int, epochs: int | None, images: int | None = None, *, temperatures: bool = False
    ) -> None:
        """Prepare the ensemble.

        Args:
            members: number of members, the classifier included.
            epochs: epochs of the others (None: the classifier's own).
            images: number of images that the others are trained on (None: all).
            temperatures: whether their logits, and the classifier's, are divided by a temperature
                that fits clean images.
        """
        self.members, self.epochs, self.images = members, epochs, images
        self._tuned, self._temperatures = temperatures, np.ones((members, 1, 1))
        self.forward_passes = float(members)
        self._others: list[nn.Module]

    def _learn(self, model: TrainedModel, train: ImageData, seed: int, workspace: Workspace) -> None:
        classifier = model.classifier
        self._others = []
        for number in range(1, self.members):
            settings = Settings(
                model=f"{model.name}-member-{number}",
                epochs=self.epochs or classifier.epochs,
                batch_size=classifier.batch_size,
                learning_rate=classifier.learning_rate,
                seed=derived_seed(seed, number),
                bf16=classifier.bf16_on("cpu"),
                device="cpu",
            )
            images = sample(train, self.images, derived_seed(seed, number))
            self._others.append(train_network(classifier, images, settings, workspace, {}))

    def tune(self, clean: ImageData) -> None:
        """Fit one temperature to the classifier and one to all the others together."""
        if not self._tuned:
            return
        answers = self._answers(clean.images)
        others = answers[1:].reshape(-1, answers.shape[2])
        labels = np.tile(clean.labels, len(answers) - 1)
        self._temperatures[0] = fitted_temperature(answers[0], clean.labels, "logits")
        self._temperatures[1:] = fitted_temperature(others, labels, "logits")

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        answers = self._answers(images)
        return log_mean_doubt(answers / self._temperatures, answers[0].argmax(axis=1))

    def _answers(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits float32 [members, N, classes], the classifier's first."""
        model = self.model
        return np.stack(
            [logits(network, model.classifier, images) for network in (model.network, *self._others)]
        )
