"""How much networks trained from other seeds doubt the classifier's label.

Lakshminarayanan, Pritzel, Blundell: Simple and scalable predictive uncertainty estimation using deep ensembles. NIPS
2017.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from evaluation.baselines.base import Detector, sample
from evaluation.baselines.probabilities import log_mean_doubt
from evaluation.baselines.training import derived_seed, train_network
from evaluation.trainer import Settings
from evaluation.workspace import Workspace
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

    def __init__(self, members: int, epochs: int | None, images: int | None = None) -> None:
        """Args: members, the classifier included; epochs of the others (None: the classifier's own) and images they
        are trained on (None: all).
        """
        self.members, self.epochs, self.images = members, epochs, images
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
                bf16=classifier.bf16,
                device="cpu",
            )
            images = sample(train, self.images, derived_seed(seed, number))
            self._others.append(train_network(classifier, images, settings, workspace, {}))

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        model = self.model
        answers = np.stack(
            [logits(network, model.classifier, images) for network in (model.network, *self._others)]
        )
        return log_mean_doubt(answers, answers[0].argmax(axis=1))
