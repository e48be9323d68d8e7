"""The network that an attack works on: one that reads pixels, and the toolbox's view of it."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mutant_guard.errors import DataError
from mutant_store.networks.weights import TrainedModel

MISSING = "attacks need more packages; install them with: pip install '.[evaluation]'"

Images = NDArray[np.float32]
"""Images float32 [N, C, H, W], values 0 to 1."""
Labels = NDArray[np.int64]
"""Labels int64 [N]."""


class OnPixels(nn.Module):
    """Network with its normalisation in front, so that attacks work in the pixel range 0 to 1."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.network = model.network
        mean, std = (
            torch.tensor(values)[:, None, None] for values in (model.classifier.mean, model.classifier.std)
        )
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits float32 [N, classes] of images float32 [N, C, H, W], values 0 to 1."""
        answer: Tensor = self.network((images - self.mean) / self.std)
        return answer


class _SinglePrecision(nn.Module):
    """Cast to float32: some methods of the toolbox go over to float64 on their way."""

    def forward(self, images: Tensor) -> Tensor:
        return images.float()


def as_pixels(images: NDArray[np.uint8]) -> Images:
    """Return images uint8 [N, H, W, C] as such a network reads them."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def as_bytes(images: Images) -> NDArray[np.uint8]:
    """Return images as they would be sent: values 0 to 1 rounded to 8 bits, uint8 [N, H, W, C]."""
    scaled = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(scaled.transpose(0, 2, 3, 1))


def estimator(network: nn.Module, shape: tuple[int, ...]) -> Any:
    """Return the toolbox's ``PyTorchClassifier`` of a network, on the CPU and in evaluation mode.

    Args:
        network: network from float32 [N, C, H, W], values 0 to 1, to logits [N, classes].
        shape: shape of an image, (C, H, W).

    Raises:
        DataError: the adversarial-robustness-toolbox is not installed.
    """
    try:
        # Imported here: it takes seconds, and clean samples do without it.
        from art.estimators.classification import PyTorchClassifier
    except ImportError as error:
        raise DataError(MISSING) from error
    network.eval()
    with torch.inference_mode():
        classes = network(torch.zeros(1, *shape)).shape[1]
    return PyTorchClassifier(
        model=nn.Sequential(_SinglePrecision(), network).eval(),
        loss=nn.CrossEntropyLoss(),
        input_shape=shape,
        nb_classes=classes,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
