"""Subject of a build: the classifier, its input, and three disjoint parts of clean images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.evidence.kinds import NO_LABEL, labels_of
from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.choices import OutputKind
from mutant_guard.store.manifest import InputSpec
from mutant_store.datasets import ImageData
from mutant_store.graph.classifier import Classifier, check_scores, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import Layer, find_layers, select_layers
from mutant_store.loading.input_spec import InputOptions, resolve_input

_PROBE = 8
_LEAST_IMAGES = 80
_ABOVE_CHANCE = 1.5


@dataclass(frozen=True, eq=False)
class Part:
    """Clean images as the classifier reads them.

    Attributes:
        data: the images, with their range in the source.
        inputs: images as the classifier reads them, float32 [N, …].
        labels: int64 [N], true labels in the classifier's own order of classes.
        predicted: int64 [N], the original's labels.
    """

    data: ImageData
    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Images that the original classifies correctly, bool [N]."""
        return np.asarray(self.predicted == self.labels)


@dataclass(frozen=True, eq=False)
class Subject:
    """Classifier ready to be mutated, and the images that filter and calibrate its mutants.

    Attributes:
        classifier: the original.
        layers: layers that mutants change.
        input: pixels that the classifier takes.
        classes: class names in the model's order.
        filter: images that filter mutants by accuracy.
        choice: images that choose the policies.
        certification: images that certify the policies.
    """

    classifier: Classifier
    layers: list[Layer]
    input: InputSpec
    classes: list[str]
    filter: Part
    choice: Part
    certification: Part

    @property
    def probe(self) -> NDArray[np.float32]:
        """Real inputs for checks, float32 [8, …]."""
        return self.filter.inputs[:_PROBE]

    def shades_without_scores(self) -> list[str]:
        """Return which images of one shade, black or white, get scores that are not finite."""
        spec = self.input
        pixels = np.zeros((2, spec.height, spec.width, spec.channels), np.uint8)
        pixels[1] = 255
        labels = labels_of(self.classifier.scores(spec.tensor(pixels)))
        return [shade for shade, label in zip(("black", "white"), labels, strict=True) if label == NO_LABEL]


def load_subject(
    model: Path | Classifier,
    spec: str,
    options: InputOptions,
    *,
    output: str | None,
    output_kind: OutputKind | None,
    classes: list[str] | None,
    layers_pattern: str,
    certified: int,
) -> Subject:
    """Read the model and its data, check that they fit, and cut the data into three parts.

    Half of the images filter mutants, a quarter chooses the policies and a quarter certifies them.

    Args:
        model: ONNX file, or a classifier that is read already.
        spec: SPEC of the clean images.
        options: the user's options for the input.
        output: name of the output that holds the class scores, see ``load_classifier``.
        output_kind: kind of the class scores, see ``load_classifier``.
        classes: class names in the model's order; None takes those of the metadata, else of the
            data.
        layers_pattern: regular expression of the names of the layers to mutate.
        certified: least number of images that certify.

    Raises:
        ModelError: the model is no classifier, cannot be mutated, does not know these images, or
            gives scores for one of them that are not finite.
        DataError: there are too few images, they have other classes than the model, or they trained
            it.
    """
    classifier = (
        load_classifier(model, output=output, output_kind=output_kind) if isinstance(model, Path) else model
    )
    layers = select_layers(find_layers(Graph(classifier.model)), layers_pattern)
    input_spec, data = resolve_input(classifier, spec, options)
    trained = classifier.card.train_data
    if trained is not None and trained.overlaps(data.range):
        raise DataError(
            f"'{spec}' holds images that trained this classifier ('{trained.spec}'): mutants would be filtered "
            "and calibrated on answers it knows by heart; use images it never saw, such as @holdout"
        )
    least = max(_LEAST_IMAGES, 4 * certified)
    if len(data) < least:
        raise DataError(
            f"'{spec}' holds {len(data)} images; half filter the mutants, a quarter chooses the policies and "
            f"a quarter, at least {certified}, certifies their false-alarm rate: give {least} or more, or raise "
            "--max-false-alarm"
        )
    inputs = input_spec.tensor(data.images)
    scores = check_scores(classifier, inputs[:_PROBE])
    names, labels = match_classes(data, classes or classifier.card.classes, scores.shape[1])
    predicted = labels_of(classifier.scores(inputs))
    if lost := int((predicted == NO_LABEL).sum()):
        raise ModelError(
            f"the classifier's scores are not finite (NaN or infinite) on {lost} of the {len(data)} images of "
            f"'{spec}'; mend the classifier, or leave such images out: each would raise an alarm"
        )
    accuracy = float((predicted == labels).mean())
    if accuracy < min(_ABOVE_CHANCE / len(names), 0.9):
        raise ModelError(
            f"the classifier gets only {accuracy:.1%} of '{spec}' right, no better than chance for {len(names)} "
            "classes; check --mean, --std, --layout and the order of --classes"
        )
    half, quarter = len(data) // 2, (len(data) - len(data) // 2) // 2

    def part(start: int, stop: int) -> Part:
        return Part(data.part(start, stop), inputs[start:stop], labels[start:stop], predicted[start:stop])

    return Subject(
        classifier,
        layers,
        input_spec,
        names,
        part(0, half),
        part(half, half + quarter),
        part(half + quarter, len(data)),
    )


def match_classes(
    data: ImageData, given: list[str] | None, outputs: int
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the class names in the model's order, and the data's labels in that order.

    Args:
        data: the images.
        given: class names in the model's order; None takes those of the data.
        outputs: number of classes of the model.

    Raises:
        DataError: the names are not those of the data, or not as many as the model's ``outputs``.
    """
    names = given or list(data.class_names)
    if len(names) != outputs:
        source = "--classes or the model's metadata name" if given else "the data has"
        raise DataError(
            f"the model has {outputs} classes and {source} {len(names)}; give all {outputs} with --classes"
        )
    if names == list(data.class_names):
        return names, data.labels
    unknown = sorted(set(data.class_names) - set(names))
    if unknown:
        raise DataError(
            f"the data has classes the model does not name: {', '.join(unknown[:5])}; check --classes"
        )
    order = np.array([names.index(name) for name in data.class_names], dtype=np.int64)
    return names, order[data.labels]
