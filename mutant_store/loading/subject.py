"""What a build works on: the classifier, its input, and three disjoint parts of clean images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
        data: the images, with the range of the source they are.
        inputs: float32 [N, …].
        labels: int64 [N], true labels in the classifier's own order of classes.
        predicted: int64 [N], the original's labels.
    """

    data: ImageData
    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Where the original is right."""
        return np.asarray(self.predicted == self.labels)


@dataclass(frozen=True, eq=False)
class Subject:
    """A classifier ready to be mutated, and the images its mutants are filtered and calibrated on."""

    classifier: Classifier
    layers: list[Layer]
    input: InputSpec
    classes: list[str]
    filter: Part
    choice: Part
    certification: Part

    @property
    def probe(self) -> NDArray[np.float32]:
        """A few real inputs, float32 [8, …]."""
        return self.filter.inputs[:_PROBE]


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
    """Read the model, unless that is done, and its data, check that they fit, and cut the data into three parts.

    Half of the images filter mutants, a quarter chooses the policy and a quarter certifies it, which takes
    ``certified`` images at least.

    Raises:
        ModelError: the model is no classifier, cannot be mutated, or does not know these images.
        DataError: too few images, other classes than the model's, or images that trained the model.
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
    predicted = classifier.scores(inputs).argmax(axis=1)
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
    """Class names in the model's order, and the data's labels in that order.

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
