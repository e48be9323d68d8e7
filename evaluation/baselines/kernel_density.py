"""Distance of an image from the training images of its label, and dropout's uncertainty of it.

Feinman, Curtin, Shintre, Gardner: Detecting adversarial samples from artifacts. 2017,
arXiv:1703.00410. It is the first baseline of Wang, Dong, Sun, Wang, Zhang: Adversarial sample
detection for deep neural network through model mutation testing. ICSE 2019.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from sklearn.metrics.pairwise import euclidean_distances

from evaluation.baselines import dropout
from evaluation.baselines.base import FeatureDetector, fingerprint_of_images
from evaluation.baselines.dropout import DropoutEnsemble, DropoutSettings
from evaluation.baselines.layers import last_hidden
from evaluation.baselines.training import fingerprint
from evaluation.workspace import Arrays, Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel

_QUERIES = 500
"""Number of images whose distances to the training images are held at once."""
_BANDWIDTHS = np.geomspace(0.02, 2.0, 21)
"""Bandwidths that are tried.

The unit is the root mean square deviation of the training features from their class's mean.
"""
_HELD_OUT = 0.05
"""Share of the training images by which the bandwidth is chosen."""


class KernelDensity(FeatureDetector):
    """Two features: the last hidden layer's minus log density, and the softmax's variance.

    The variance is over passes with dropout.
    """

    name: ClassVar[str] = "kernel density + uncertainty"
    note: ClassVar[str] = dropout.NOTE

    def __init__(self, settings: DropoutSettings) -> None:
        """Keep the settings of the dropout network."""
        self.settings = settings
        self.forward_passes = 1.0 + settings.passes
        self._ensemble: DropoutEnsemble
        self._classes: list[NDArray[np.float64]]
        self.bandwidth: float
        """Bandwidth of the Gaussian kernels, in units of the features."""

    def _learn(self, model: TrainedModel, train: ImageData, seed: int, workspace: Workspace) -> None:
        self._ensemble = dropout.fitted(model, train, self.settings, seed, workspace)

        def make() -> Arrays:
            features = last_hidden(model, train.images)
            return {
                "features": features,
                "bandwidth": np.array([choose_bandwidth(features, train.labels, seed)]),
            }

        inputs = {
            "original": fingerprint(model.network),
            "seed": seed,
            "images": fingerprint_of_images(train),
        }
        kept = workspace.arrays("kernel-density", inputs, make)
        self.bandwidth = float(kept["bandwidth"][0])
        self._classes = [kept["features"][train.labels == label] for label in range(len(train.class_names))]

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        model = self.model
        labels = logits(model.network, model.classifier, images).argmax(axis=1)
        hidden = last_hidden(model, images)
        densities = np.empty(len(images))
        for label in np.unique(labels):
            asked = labels == label
            densities[asked] = log_density(hidden[asked], self._classes[label], self.bandwidth)
        return np.stack([-densities, self._uncertainty(images)], axis=1)

    def _uncertainty(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the variance over passes of a class's probability, mean over classes.

        The result is float64 [N].
        """
        probabilities = softmax(self._ensemble.logits(images).astype(np.float64), axis=-1)
        variance: NDArray[np.float64] = probabilities.var(axis=0).mean(axis=-1)
        return variance


def log_density(
    queries: NDArray[np.float64], points: NDArray[np.float64], bandwidth: float
) -> NDArray[np.float64]:
    """Return the log of a density estimated with Gaussian kernels.

    Args:
        queries: points at which it is estimated, float64 [N, F].
        points: centres of the kernels, float64 [M, F].
        bandwidth: standard deviation of the kernels.

    Returns:
        float64 [N], in nats.
    """
    dimensions = points.shape[1]
    constant = np.log(len(points)) + dimensions * np.log(bandwidth * np.sqrt(2 * np.pi))
    batches = [
        logsumexp(
            euclidean_distances(queries[start : start + _QUERIES], points, squared=True)
            / (-2 * bandwidth**2),
            axis=1,
        )
        for start in range(0, len(queries), _QUERIES)
    ]
    density: NDArray[np.float64] = np.concatenate(batches) - constant
    return density


def choose_bandwidth(features: NDArray[np.float64], labels: NDArray[np.int64], seed: int) -> float:
    """Return the bandwidth under which features that were held out are the likeliest.

    Their likelihood is that given the others of their class.

    Args:
        features: float64 [N, F].
        labels: int64 [N], the classes whose densities are estimated apart.
        seed: seed of the choice of those held out.

    Returns:
        The standard deviation of the kernels, in units of the features.
    """
    held = np.random.default_rng(seed).random(len(labels)) < _HELD_OUT
    parts = [
        (features[held & (labels == label)], features[~held & (labels == label)])
        for label in np.unique(labels)
    ]
    parts = [(queries, points) for queries, points in parts if len(queries) and len(points)]
    within = np.concatenate([points - points.mean(axis=0) for _, points in parts])
    scale = float(np.sqrt(np.square(within).mean()))
    candidates = scale * _BANDWIDTHS
    likelihoods = [
        sum(log_density(queries, points, bandwidth).sum() for queries, points in parts)
        for bandwidth in candidates
    ]
    return float(candidates[int(np.argmax(likelihoods))])
