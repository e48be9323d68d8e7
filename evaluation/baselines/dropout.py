"""The classifier with dropout in front of its dense layers.

Some detectors need such a Bayesian network. Gal, Ghahramani: Dropout as a Bayesian approximation:
Representing model uncertainty in deep learning. ICML 2016.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evaluation.baselines.base import sample
from evaluation.baselines.training import derived_seed, fingerprint, train_network
from evaluation.training.trainer import Settings
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks import Network
from mutant_store.networks.inference import normalised
from mutant_store.networks.weights import TrainedModel

_BATCH = 100
_FINE_TUNING = 0.2
"""Share of the classifier's peak learning rate with which its copy gets used to dropout."""

NOTE = (
    "The classifier was trained without dropout: a copy with dropout in front of every dense layer is fine-tuned "
    "from its weights on clean training images. Its passes drop the same units for all images, and repeat only the "
    "dense layers; they are counted as whole ones."
)
"""Differences of the detectors of this network from their publications."""


@dataclass(frozen=True)
class DropoutSettings:
    """Settings of the dropout network.

    They are the share of units dropped, epochs of fine-tuning, images to fine-tune on (None: all),
    and passes an image.
    """

    rate: float
    epochs: int
    images: int | None
    passes: int


class DropoutNetwork(nn.Module):
    """Network whose dense layers lose a share of their inputs while training and in ``sampled``."""

    def __init__(self, network: nn.Module, rate: float) -> None:
        """Put dropout in front of the dense layers.

        Args:
            network: the network, which it takes over.
            rate: share of units dropped, 0 to 1.
        """
        super().__init__()
        self.network, self.rate = network, rate
        self._masks: list[Tensor] = []
        self._dense = [module for module in network.modules() if isinstance(module, nn.Linear)]
        for position, module in enumerate(self._dense):
            module.register_forward_pre_hook(self._dropping(position))

    def _dropping(self, position: int) -> Callable[[nn.Module, tuple[Tensor, ...]], Tensor]:
        def drop(_: nn.Module, arguments: tuple[Tensor, ...]) -> Tensor:
            (features,) = arguments
            if not self._masks:
                return functional.dropout(features, self.rate, self.training)
            # The first dense layer reads one row an image, all that follow one a pass and image.
            masks = self._masks[position]
            rows = features[None] if position == 0 else features.reshape(len(masks), -1, features.shape[1])
            return (rows * masks[:, None]).flatten(0, 1)

        return drop

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, classes] of normalised images float32 [N, C, H, W]."""
        answer: Tensor = self.network(images)
        return answer

    @torch.inference_mode()
    def sampled(self, images: Tensor, passes: int, seed: int) -> Tensor:
        """Return logits [passes, N, classes] of images, each pass with other units dropped.

        The images are normalised, float32 [N, C, H, W]. The units dropped come from the seed alone,
        so that an image's answers do not depend on the images around it.
        """
        generator = torch.Generator().manual_seed(seed)
        kept = 1 - self.rate
        self._masks = [
            (torch.rand(passes, module.in_features, generator=generator) < kept) / kept
            for module in self._dense
        ]
        try:
            answer: Tensor = self.network(images)
        finally:
            self._masks = []
        return answer.reshape(passes, len(images), -1)


class DropoutEnsemble:
    """Fine-tuned copy of a classifier, and the passes it is asked in."""

    def __init__(self, classifier: Network, network: DropoutNetwork, passes: int, seed: int) -> None:
        """Keep the copy and its settings.

        Args:
            classifier: description of the classifier.
            network: the copy, in evaluation mode.
            passes: number of passes an image.
            seed: seed of the masks.
        """
        self.classifier, self.network = classifier, network
        self.passes, self.seed = passes, seed

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits float32 [passes, N, classes] of images uint8 [N, H, W, C]."""
        batches = [
            self.network.sampled(
                torch.from_numpy(normalised(self.classifier, images[start : start + _BATCH])),
                self.passes,
                self.seed,
            ).numpy()
            for start in range(0, len(images), _BATCH)
        ]
        return np.concatenate(batches, axis=1)


def fitted(
    model: TrainedModel, train: ImageData, settings: DropoutSettings, seed: int, workspace: Workspace
) -> DropoutEnsemble:
    """Fine-tune the classifier's copy, or take the one in the workspace.

    Raises:
        OSError: the workspace cannot be written.
    """
    classifier = replace(
        model.classifier, build=lambda _: DropoutNetwork(copy.deepcopy(model.network), settings.rate)
    )
    training = Settings(
        model="dropout",
        epochs=settings.epochs,
        batch_size=classifier.batch_size,
        learning_rate=_FINE_TUNING * classifier.learning_rate,
        seed=derived_seed(seed, 0),
        bf16=classifier.bf16_on("cpu"),
        device="cpu",
    )
    inputs = {"original": fingerprint(model.network), "rate": settings.rate}
    network = train_network(classifier, sample(train, settings.images, seed), training, workspace, inputs)
    if not isinstance(network, DropoutNetwork):
        raise TypeError("the trainer returned another network than it built")
    return DropoutEnsemble(classifier, network, settings.passes, derived_seed(seed, 1))
