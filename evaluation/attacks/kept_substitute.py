"""A substitute that is trained once and kept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evaluation.attacks import substitute
from evaluation.attacks.digest import digest, file_digest
from evaluation.attacks.settings import Substitute
from evaluation.attacks.target import as_pixels
from evaluation.workspace import Arrays, Workspace
from mutant_store.networks import weights as model_weights
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel
from mutant_store.threads import one_thread


@dataclass(frozen=True, eq=False)
class KeptSubstitute:
    """Trained substitute and the classifier it stands for.

    Attributes:
        target: the classifier.
        settings: settings of the substitute's training.
        weights: state of the substitute.
    """

    target: TrainedModel
    settings: Substitute
    weights: Arrays

    @staticmethod
    def train(
        model_path: Path, settings: Substitute, seeds: NDArray[np.uint8], seed: int, workspace: Workspace
    ) -> "KeptSubstitute":
        """Train a substitute of a classifier, or read it from the workspace.

        Args:
            model_path: the classifier's ``.safetensors`` file.
            settings: settings of the training.
            seeds: clean images uint8 [N, H, W, C].
            seed: seed of the training.
            workspace: workspace that keeps the substitute.

        Raises:
            DataError: there are too few images.
            ModelError: the classifier cannot be read.
        """
        target = model_weights.load(model_path)

        def make() -> Arrays:
            with one_thread():
                network = substitute.train(target, settings, seeds, seed)
            return {key: value.numpy() for key, value in network.state_dict().items()}

        depends = {
            "substitute": settings.model_dump(),
            "model": file_digest(model_path),
            "seed": seed,
            "seeds": digest(seeds[: settings.seeds].tobytes()),
        }
        return KeptSubstitute(target, settings, workspace.arrays("substitute", depends, make))

    @property
    def queries(self) -> int:
        """Number of labels the substitute asked the classifier for."""
        return self.settings.seeds << (self.settings.rounds - 1)

    def agreement(self, images: NDArray[np.uint8]) -> float:
        """Return the share of images on which the substitute gives the classifier's label.

        Args:
            images: uint8 [N, H, W, C], N at least 1.
        """
        answers = logits(self.target.network, self.target.classifier, images)
        network = restored(self.settings, self.weights, images, answers.shape[1])
        with torch.inference_mode():
            own = network(torch.from_numpy(as_pixels(images))).argmax(dim=1).numpy()
        return float(np.mean(own == answers.argmax(axis=1)))


def restored(settings: Substitute, weights: Arrays, images: NDArray[np.uint8], classes: int) -> nn.Module:
    """Return the substitute of these weights, in evaluation mode.

    Args:
        settings: settings of its training.
        weights: state of the substitute.
        images: images of the shape it takes, uint8 [N, H, W, C].
        classes: number of classes.
    """
    height, width, channels = images.shape[1:]
    network = substitute.build(settings.architecture, (channels, height, width), classes)
    network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    return network.eval()
