"""Interface of every baseline: fitted once on clean images, then asked about any."""

import hashlib
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.weights import TrainedModel


class Baseline(ABC):
    """Detector that the guard is compared with.

    Its result for an image depends on nothing but that image.

    Attributes:
        name: name, short, lower case, one a table's row.
        note: differences from the publication, in sentences; empty if there are none.
        trained_on_attacks: whether it has to be shown adversarial images before it can score.
        forward_passes: passes of a network of the classifier's size that an image costs, the
            classifier's own included.
    """

    name: ClassVar[str]
    note: ClassVar[str] = ""
    trained_on_attacks: ClassVar[bool] = False
    forward_passes: float = 1.0

    _fitted: TrainedModel | None = None

    @property
    def model(self) -> TrainedModel:
        """Classifier that the baseline was fitted to.

        Raises:
            NotFittedError: it was not fitted; a ValueError of scikit-learn's.
        """
        if self._fitted is None:
            raise NotFittedError(f"{self.name} is not fitted; call fit first")
        return self._fitted

    def fit(self, model: TrainedModel, train: ImageData, seed: int, workspace: Workspace) -> None:
        """Learn from clean training images alone.

        Args:
            model: the classifier to guard.
            train: images of its training data, uint8 [N, H, W, C] of its shape.
            seed: seed of every random draw.
            workspace: workspace that keeps what takes long: a run that was killed goes on with it.

        Raises:
            OSError: the workspace cannot be written.
            ValueError: there are too few images to learn from.
        """
        self._learn(model, train, seed, workspace)
        self._fitted = model

    @abstractmethod
    def _learn(self, model: TrainedModel, train: ImageData, seed: int, workspace: Workspace) -> None:
        """Learn for ``fit``, with its arguments; ``model`` is set afterwards."""


class Detector(Baseline):
    """Baseline that needs no adversarial images."""

    def tune(self, clean: ImageData) -> None:
        """Learn from clean images that trained nothing, such as a temperature; most learn nothing.

        Raises:
            NotFittedError: ``fit`` was not called.
        """

    @abstractmethod
    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return how suspicious images uint8 [N, H, W, C] are: float64 [N].

        A higher score is more suspicious. To float32 rounding of the networks, an image's score is
        the same whichever images come with it.

        Raises:
            NotFittedError: ``fit`` was not called.
        """


class FeatureDetector(Baseline):
    """Baseline whose features are weighed by a logistic regression that was shown an attack.

    ``cross_fit.py`` does that on images that it is not measured on.
    """

    trained_on_attacks: ClassVar[bool] = True

    @abstractmethod
    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the regression's input, finite float64 [N, F], of uint8 [N, H, W, C].

        To float32 rounding of the networks, an image's row is the same whichever images come with
        it.

        Raises:
            NotFittedError: ``fit`` was not called.
        """


def sample(train: ImageData, count: int | None, seed: int) -> ImageData:
    """Draw at most ``count`` of the images without replacement, and keep their order.

    None keeps all images. The range of the result is that of ``train``.
    """
    if count is None or count >= len(train):
        return train
    chosen = np.sort(np.random.default_rng(seed).choice(len(train), count, replace=False))
    return ImageData(train.images[chosen], train.labels[chosen], train.class_names, train.range)


def fingerprint_of_images(train: ImageData) -> str:
    """Return the SHA-256 of pixels and labels, in hexadecimal, for the names in a workspace."""
    digest = hashlib.sha256(str(train.images.shape).encode())
    digest.update(np.ascontiguousarray(train.images).data)
    digest.update(np.ascontiguousarray(train.labels).data)
    return digest.hexdigest()
