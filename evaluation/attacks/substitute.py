"""A substitute of a classifier, trained from the labels it gives.

Papernot, McDaniel, Goodfellow, Jha, Celik, Swami: Practical black-box attacks against machine
learning. ASIA CCS 2017.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evaluation.attacks.settings import Substitute
from evaluation.attacks.target import as_bytes, as_pixels
from mutant_guard.errors import DataError
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel

_LARGE = 32
"""Height from which LeNet's first convolution has no padding, as on its own images."""


def train(target: TrainedModel, settings: Substitute, seeds: NDArray[np.uint8], seed: int) -> nn.Module:
    """Train a network to answer as the target does, asking it for labels of 8-bit images only.

    A round trains on all images so far; between rounds each of them is joined by x + λ sign
    ∂F(x)[label]/∂x, F being the substitute (Jacobian-based augmentation), rounded to 8 bits. The
    weights are carried from round to round, as CleverHans does it.

    Args:
        target: the classifier.
        settings: architecture, rounds and their sizes.
        seeds: clean images uint8 [N, H, W, C], of which the first ``settings.seeds`` are used.
        seed: seed of the weights and of the order of the images.

    Returns:
        The substitute in evaluation mode: from float32 [N, C, H, W], values 0 to 1, to logits.

    Raises:
        DataError: there are fewer images than ``settings.seeds``.
    """
    if len(seeds) < settings.seeds:
        raise DataError(
            f"the substitute starts from {settings.seeds} clean images and there are {len(seeds)}; give more, "
            "or lower its seeds"
        )
    start = seeds[: settings.seeds]
    images = torch.from_numpy(as_pixels(start))
    answers = logits(target.network, target.classifier, start)
    labels = torch.from_numpy(answers.argmax(axis=1))
    network = build(settings.architecture, tuple(images.shape[1:]), answers.shape[1], seed)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    for number in range(settings.rounds):
        for _ in range(settings.epochs):
            for batch in _batches(torch.randperm(len(images), generator=generator), settings.batch_size):
                optimizer.zero_grad()
                loss = functional.cross_entropy(network(images[batch]), labels[batch])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        if number + 1 < settings.rounds:
            new = as_bytes(_augmented(network, images, labels, settings.step).numpy())
            asked = logits(target.network, target.classifier, new).argmax(axis=1)
            images = torch.cat([images, torch.from_numpy(as_pixels(new))])
            labels = torch.cat([labels, torch.from_numpy(asked)])
    return network.eval()


def build(architecture: str, shape: tuple[int, ...], classes: int, seed: int = 0) -> nn.Module:
    """Build the untrained network of that name for images (C, H, W).

    Its weights are drawn with ``seed``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ARCHITECTURES[architecture](shape, classes)


def _augmented(network: nn.Module, images: Tensor, labels: Tensor, step: float) -> Tensor:
    parts = []
    for batch, wanted in zip(_batches(images, 500), _batches(labels, 500), strict=True):
        moved = batch.clone().requires_grad_()
        # The logarithm has the sign of the probability itself, and does not saturate.
        gained = functional.log_softmax(network(moved), dim=1).gather(1, wanted[:, None]).sum()
        (gradient,) = torch.autograd.grad(gained, moved)
        parts.append((batch + step * gradient.sign()).clamp(0, 1))
    return torch.cat(parts)


def _batches(values: Tensor, size: int) -> list[Tensor]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _papernot_a(shape: tuple[int, ...], classes: int) -> nn.Module:
    features = nn.Sequential(
        nn.Conv2d(shape[0], 32, 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    return _with_dense(features, shape, (200, 200), classes)


def _lenet(shape: tuple[int, ...], classes: int) -> nn.Module:
    features = nn.Sequential(
        nn.Conv2d(shape[0], 6, 5, padding=0 if shape[1] >= _LARGE else 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    return _with_dense(features, shape, (120, 84), classes)


def _with_dense(
    features: nn.Sequential, shape: tuple[int, ...], widths: tuple[int, ...], classes: int
) -> nn.Module:
    width = features(torch.zeros(1, *shape)).shape[1]
    for next_width in widths:
        features.extend([nn.Linear(width, next_width), nn.ReLU()])
        width = next_width
    return features.append(nn.Linear(width, classes))


ARCHITECTURES: dict[str, Callable[[tuple[int, ...], int], nn.Module]] = {
    "papernot-a": _papernot_a,
    "lenet": _lenet,
}
"""Functions from a shape (C, H, W) and a number of classes to an untrained network, by name.

``papernot-a`` is network A of the paper's appendix: 2 × 2 convolutions of 32 and 64 channels, each
with 2 × 2 max pooling, then 200, 200 and the classes. ``lenet`` is LeNet-5 of as many channels as
the images have.
"""
