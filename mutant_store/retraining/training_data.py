"""Images that mutants are trained on, checked against those that filter and calibrate them."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import DataError
from mutant_store.datasets import ImageData, load
from mutant_store.loading.data_labels import match_classes
from mutant_store.loading.subject import Subject
from mutant_store.retraining.job import together
from mutant_store.retraining.settings import Labels

_BATCH = 500
_LEAST_IMAGES = 2


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Training images that fit the subject, and their labels.

    Attributes:
        data: the images.
        labels: int64 [N], in the model's order of classes; 0 where the original's answers are
            learned.
    """

    data: ImageData
    labels: NDArray[np.int64]

    @property
    def facts(self) -> dict[str, Any]:
        """Values that tell these images and labels from any others."""
        place = self.data.range
        return {
            "data": [place.source, place.start, place.stop],
            "labels": hashlib.sha256(self.labels.tobytes()).hexdigest(),
        }


def load_training_data(subject: Subject, spec: str | None, labels: Labels) -> TrainingData:
    """Read the images that mutants are trained on.

    Args:
        subject: the classifier and the images that filter and calibrate its mutants.
        spec: SPEC of the training images; None where the user gave none.
        labels: kind of the targets.

    Raises:
        DataError: there are none, they share images with those that filter and calibrate mutants,
            or they have other classes.
    """
    if spec is None:
        raise DataError(
            "mutants need images to train on: give --train-data, such as mnist:DIR@train; those of --data are "
            "kept for the filter and the calibration"
        )
    shape = subject.input.height, subject.input.width, subject.input.channels
    data = load(spec, shape=shape, resize=subject.input.resize)
    if len(data) < _LEAST_IMAGES:
        raise DataError(
            f"--train-data '{spec}' holds {len(data)} image(s): give at least {_LEAST_IMAGES}, better thousands"
        )
    for part in (subject.filter, subject.choice, subject.certification):
        if data.range.overlaps(part.data.range):
            raise DataError(
                f"--train-data '{spec}' and --data '{part.data.range.spec}' share images: mutants would be filtered "
                "and calibrated on answers they know by heart; give disjoint ones, such as @train and @holdout"
            )
    if labels == "original":
        return TrainingData(data, np.zeros(len(data), dtype=np.int64))
    _, found = match_classes(data, subject.classes, len(subject.classes))
    return TrainingData(data, found)


def answers_of(subject: Subject, data: ImageData) -> NDArray[np.float32]:
    """Return what the original answers on images, as probabilities float32 [N, classes]."""
    blocks, size = [], min(_BATCH, together(data.images.shape[1:]))
    for start in range(0, len(data), size):
        scores = subject.classifier.scores(subject.input.tensor(data.images[start : start + size]))
        if subject.classifier.output_kind == "logits":
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        blocks.append(scores / scores.sum(axis=1, keepdims=True))
    return np.concatenate(blocks).astype(np.float32)
