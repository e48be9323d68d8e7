"""Classifier in whose pixels and classes robust mutants are trained: the original, or a companion."""

from dataclasses import dataclass, replace

import numpy as np

from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.manifest import InputSpec
from mutant_store.companions.companion import Companion
from mutant_store.datasets import load
from mutant_store.datasets.conversion import Shape
from mutant_store.graph.classifier import Classifier
from mutant_store.loading.pixel_views import PixelViews
from mutant_store.loading.subject import Subject
from mutant_store.loading.torch_source import TorchOriginal, as_network
from mutant_store.networks.architecture import Architecture
from mutant_store.networks.conversion import Converted
from mutant_store.retraining.settings import Labels
from mutant_store.retraining.training_data import TrainingData, answers_of, load_training_data


@dataclass(frozen=True, eq=False)
class Basis:
    """Classifier in whose pixels and classes robust mutants are trained.

    Attributes:
        classifier: its graph.
        input: pixels that it takes.
        images: the filter's images as it sees them.
        outputs: number of its classes.
        known: the classifier as a network; None where it is known as a graph alone.
        companion: the classifier as a companion; None for the original.
    """

    classifier: Classifier
    input: InputSpec
    images: PixelViews
    outputs: int
    known: TorchOriginal | None
    companion: Companion | None

    @staticmethod
    def of(subject: Subject, original: TorchOriginal | None, companion: Companion | None) -> "Basis":
        """Return a companion as a basis; without one, the original.

        Args:
            subject: the original and its images.
            original: the original as a network, where it is known as one.
            companion: the companion that training starts from.

        Raises:
            ModelError: the companion takes blue, green and red, or cannot be converted to torch.
        """
        if companion is None:
            images, classes = subject.filter.inputs.of_view(0), len(subject.classes)
            return Basis(subject.classifier, subject.input, images, classes, original, None)
        if companion.input.channel_order != "rgb":
            raise ModelError(
                f"companion {companion.name} takes blue, green and red and cannot be made robust as it is: export it "
                "to take red, green and blue, or give another --architecture"
            )
        images = subject.filter.inputs.of_view(companion.view)
        try:
            known = as_network(companion.classifier, companion.input, images.pixels[0])
        except ModelError as error:
            raise ModelError(f"companion {companion.name} cannot be made robust: {error}") from error
        return Basis(companion.classifier, companion.input, images, companion.outputs, known, companion)

    @property
    def name(self) -> str:
        """Name for people."""
        return "the original" if self.companion is None else f"companion {self.companion.name}"

    @property
    def shape(self) -> Shape:
        """Height and width in pixels, and channels, of the images."""
        return self.input.height, self.input.width, self.input.channels

    @property
    def architecture(self) -> Architecture:
        """Maker of the classifier as a network."""
        if self.known is not None:
            return self.known.architecture
        content = self.classifier.model.SerializeToString(deterministic=True)
        return Converted(content, self.input.layout)

    def network(self) -> TorchOriginal:
        """Return the classifier as a network, converted from its graph where it is known as no other.

        Raises:
            ModelError: the graph cannot be converted faithfully.
        """
        return self.known or as_network(self.classifier, self.input, self.images.pixels[0])

    def training_data(self, subject: Subject, spec: str | None, labels: Labels) -> TrainingData:
        """Read training images as the classifier sees them, with labels in its classes.

        Images of classes that a companion does not know are left out.

        Args:
            subject: the original and the images that filter and calibrate its mutants.
            spec: SPEC of the training images; None where the user gave none.
            labels: kind of the labels; ``original`` takes those that the original gives.

        Raises:
            DataError: the images do not fit, see ``load_training_data``, or not all of them can be
                brought to the companion's size.
        """
        training = load_training_data(subject, spec, labels)
        if labels == "original":
            training = replace(training, labels=answers_of(subject, training.data).argmax(axis=1))
        if self.companion is None:
            return training
        count, places = len(training.data), training.labels
        del training  # two copies of the images may be more than memory holds
        seen = load(str(spec), shape=self.shape, resize=self.input.resize)
        if len(seen) != count:
            raise DataError(
                f"--train-data '{spec}' has {count} images for the original and {len(seen)} for {self.name}: mend "
                "or remove those that only one of them reads"
            )
        if self.companion.to_companion is not None:
            places = self.companion.to_companion[places]
        there = places >= 0
        if there.all():
            return TrainingData(seen, places)
        note = (
            f"{int((~there).sum()):,} training images are of classes that {self.name} does not know: left out"
        )
        kept = replace(seen, images=seen.images[there], labels=seen.labels[there], notes=(*seen.notes, note))
        return TrainingData(kept, np.ascontiguousarray(places[there]))
