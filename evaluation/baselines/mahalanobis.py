"""Distance of each layer's activations from those of the nearest class.

It is measured by the covariance within classes. Lee, Lee, Lee, Shin: A simple unified framework for
detecting out-of-distribution samples and adversarial attacks. NeurIPS 2018.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from evaluation.baselines.base import FeatureDetector, fingerprint_of_images
from evaluation.baselines.layers import activations
from evaluation.baselines.training import fingerprint
from evaluation.workspace import Arrays, Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.weights import TrainedModel

_SINGULAR = 1e-10
"""Share of the largest variance below which directions are dropped.

They are those of units that never answer.
"""


@dataclass(frozen=True, eq=False)
class Gaussians:
    """One normal distribution a class, all of one covariance.

    Attributes:
        whitening: W float64 [F, rank]; W Wᵀ is the inverse of the covariance.
        means: float64 [classes, rank], whitened.
    """

    whitening: NDArray[np.float64]
    means: NDArray[np.float64]

    def distances(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the least over classes of (x − μ)ᵀ Σ⁻¹ (x − μ), float64 [N].

        x is ``values``, float64 [N, F].
        """
        squared: NDArray[np.float64] = cdist(values @ self.whitening, self.means, "sqeuclidean")
        least: NDArray[np.float64] = squared.min(axis=1)
        return least


class Mahalanobis(FeatureDetector):
    """One feature a layer: the least squared Mahalanobis distance to the mean of a class."""

    name: ClassVar[str] = "Mahalanobis"
    note: ClassVar[str] = (
        "The input is not preprocessed with a gradient step. Layers are taken where the next weighted one reads "
        "them, the logits included; what a dense layer reads is not averaged over positions."
    )

    def __init__(self) -> None:
        self._gaussians: list[Gaussians]

    def _learn(self, model: TrainedModel, train: ImageData, seed: int, workspace: Workspace) -> None:
        inputs = {"original": fingerprint(model.network), "images": fingerprint_of_images(train)}
        kept = workspace.arrays("mahalanobis", inputs, lambda: _gaussians(model, train))
        self._gaussians = [
            Gaussians(kept[f"whitening-{layer}"], kept[f"means-{layer}"]) for layer in range(len(kept) // 2)
        ]

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        rows = [
            np.stack(
                [
                    gaussians.distances(values)
                    for values, gaussians in zip(layers, self._gaussians, strict=True)
                ],
                axis=1,
            )
            for layers in averaged(self.model, images)
        ]
        return np.concatenate(rows)


def averaged(model: TrainedModel, images: NDArray[np.uint8]) -> Iterator[list[NDArray[np.float64]]]:
    """Yield, for each batch of images uint8 [N, H, W, C], a float64 [B, channels] a layer.

    The activations are averaged over positions.
    """
    for layers in activations(model, images):
        yield [_average(layer).double().numpy() for layer in layers]


def _average(layer: Tensor) -> Tensor:
    return layer.flatten(2).mean(2) if layer.ndim > 2 else layer


def _gaussians(model: TrainedModel, train: ImageData) -> Arrays:
    """Return ``whitening-L`` and ``means-L`` for each layer L.

    They are float64 [channels, rank] and, whitened, float64 [classes, rank].
    """
    classes = np.eye(len(train.class_names))
    sums: list[NDArray[np.float64]] = []
    squares: list[NDArray[np.float64]] = []
    done = 0
    for layers in averaged(model, train.images):
        members = classes[train.labels[done : done + len(layers[0])]]
        done += len(members)
        if not sums:
            sums = [np.zeros((len(classes), values.shape[1])) for values in layers]
            squares = [np.zeros((values.shape[1], values.shape[1])) for values in layers]
        for layer, values in enumerate(layers):
            sums[layer] += members.T @ values
            squares[layer] += values.T @ values
    counts = np.bincount(train.labels, minlength=len(classes))
    there = counts > 0
    sizes = counts[there, None]
    arrays = {}
    for layer, (total, square) in enumerate(zip(sums, squares, strict=True)):
        means = total[there] / sizes
        whitening = whiten((square - (means * sizes).T @ means) / done)
        arrays[f"whitening-{layer}"] = whitening
        arrays[f"means-{layer}"] = means @ whitening
    return arrays


def whiten(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return W float64 [F, rank]; W Wᵀ is the pseudo-inverse of a covariance [F, F]."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > values[-1] * _SINGULAR
    whitening: NDArray[np.float64] = vectors[:, kept] / np.sqrt(values[kept])
    return whitening
