"""Number of dimensions in which the neighbourhood of an image grows, layer by layer.

Ma, Li, Wang, Erfani, Wijewickrema, Schoenebeck, Song, Houle, Bailey: Characterizing adversarial
subspaces using local intrinsic dimensionality. ICLR 2018.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances

from evaluation.baselines.base import FeatureDetector, sample
from evaluation.baselines.layers import activations
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.weights import TrainedModel

_ITSELF = 1e-6
"""Share of a reference's own norm; a closer reference is the image itself, not a neighbour."""
_LARGEST = 1e6
"""Dimensionality in place of the infinite one that neighbours at equal distances would give."""


class LocalIntrinsicDimensionality(FeatureDetector):
    """One feature a layer: the maximum likelihood estimate of the dimensionality.

    It is made from the distances to the nearest of some clean images.
    """

    name: ClassVar[str] = "local intrinsic dimensionality"
    note: ClassVar[str] = (
        "The minibatch of clean images whose distances are taken is drawn once and is the same for every image. "
        "Layers are taken where the next weighted one reads them, the logits included."
    )

    def __init__(self, neighbours: int, references: int) -> None:
        """Keep the settings.

        Args:
            neighbours: number of distances that an estimate takes.
            references: number of clean images that they are found among.

        Raises:
            ValueError: there are not more references than neighbours.
        """
        if not 2 <= neighbours < references:
            raise ValueError(f"{neighbours} neighbours cannot be found among {references} references")
        self.neighbours, self.references = neighbours, references
        self._references: list[NDArray[np.float64]]

    def _learn(self, model: TrainedModel, train: ImageData, seed: int, workspace: Workspace) -> None:
        if len(train) <= self.neighbours:
            raise ValueError(
                f"{self.neighbours} neighbours cannot be found among {len(train)} training images"
            )
        chosen = sample(train, self.references, seed).images
        batches = [
            [layer.flatten(1).double().numpy() for layer in layers] for layers in activations(model, chosen)
        ]
        self._references = [np.concatenate(parts) for parts in zip(*batches, strict=True)]

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        rows = []
        for layers in activations(self.model, images):
            estimates = [
                dimensionality(layer.flatten(1).double().numpy(), references, self.neighbours)
                for layer, references in zip(layers, self._references, strict=True)
            ]
            rows.append(np.stack(estimates, axis=1))
        return np.concatenate(rows)


def dimensionality(
    values: NDArray[np.float64], references: NDArray[np.float64], neighbours: int
) -> NDArray[np.float64]:
    """Return −1 over the mean of log(rᵢ / rₖ), i = 1 … k.

    rᵢ is the distance to the i-th nearest of the references. A reference at the same place is left
    out.

    Args:
        values: float64 [N, F].
        references: float64 [M, F].
        neighbours: k, less than M.

    Returns:
        float64 [N], at most 10⁶; 0 where fewer than k references are at other places.
    """
    distances = euclidean_distances(values, references)
    distances[distances <= _ITSELF * np.linalg.norm(references, axis=1)] = np.inf
    nearest = np.sort(distances, axis=1)[:, :neighbours]
    enough = np.isfinite(nearest[:, -1])
    estimates = np.zeros(len(values))
    logs = np.log(nearest[enough] / nearest[enough, -1:]).mean(axis=1)
    estimates[enough] = -1 / np.minimum(logs, -1 / _LARGEST)
    return estimates
