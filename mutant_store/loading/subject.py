"""Subject of a build: the classifier, its input, and three disjoint parts of clean images."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.calibration.certification import certifiable_rate
from mutant_guard.decision.evidence.kinds import NO_LABEL, labels_of
from mutant_guard.errors import DataError
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_guard.store.choices import OutputKind
from mutant_guard.store.manifest import InputSpec
from mutant_store.datasets import ImageData
from mutant_store.graph.classifier import Classifier, check_scores, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import Layer, find_layers, select_layers
from mutant_store.graph.original import Scores, check_same, file_scores
from mutant_store.graph.score_kind import decide
from mutant_store.loading.class_names import choose_classes
from mutant_store.loading.input_spec import InputOptions, resolve_input
from mutant_store.loading.pixel_views import PixelViews
from mutant_store.loading.treatments import Dialogue, Trial

_PROBE = 8
_TOGETHER = 32
_LEAST_IMAGES = 80


@dataclass(frozen=True, eq=False)
class Part:
    """Clean images as the classifier reads them.

    Attributes:
        data: the images, with their range in the source.
        inputs: the images, of which an index gives what the networks of the bank read.
        labels: int64 [N], true labels in the classifier's own order of classes.
        scores: float32 [N, classes], scores of the original as it was given.
    """

    data: ImageData
    inputs: PixelViews
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Labels of the original, int64 [N]."""
        return np.asarray(self.scores.argmax(axis=1))

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
        notes: lines for the user on what was seen and decided.
    """

    classifier: Classifier
    layers: list[Layer]
    input: InputSpec
    classes: list[str]
    filter: Part
    choice: Part
    certification: Part
    notes: tuple[str, ...] = ()

    @property
    def probe(self) -> NDArray[np.float32]:
        """Real inputs of the original for checks, float32 [8, …]."""
        return next(self.filter.inputs.blocks(_PROBE))

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
    layers_pattern: str | None,
    calibration: CalibrationSettings,
    as_given: Scores | None = None,
    dialogue: Dialogue | None = None,
) -> Subject:
    """Read the model and its data, check that they fit, and cut the data into three parts.

    On all images the simplified classifier must answer as the one that was given. Half of the
    images filter mutants, a quarter chooses the policies and a quarter certifies them.

    Args:
        model: ONNX file, or a classifier that is read already.
        spec: SPEC of the clean images.
        options: the user's options for the input.
        output: name of the output that holds the class scores, see ``load_classifier``.
        output_kind: kind of the class scores, see ``load_classifier``.
        classes: class names in the model's order; None takes those of the metadata, else of the
            data.
        layers_pattern: regular expression of the names of the layers to mutate; None where no
            layer is, so that the classifier may be any graph.
        calibration: requirements on the policies, whose false-alarm rate needs images that certify
            it.
        as_given: function that gives the scores of the classifier as it was given; None runs the
            file.
        dialogue: question to ask where another treatment of images does much better, see
            ``Trial``; None compares nothing.

    Raises:
        ModelError: the model is no classifier, cannot be mutated, answers otherwise when it is
            simplified, does not know these images, or gives scores for one of them that are not
            finite.
        DataError: there are too few images, they have other classes than the model, or they trained
            it.
    """
    classifier = (
        load_classifier(model, output=output, output_kind=output_kind) if isinstance(model, Path) else model
    )
    layers = []
    if layers_pattern is not None:
        layers = select_layers(find_layers(Graph(classifier.model)), layers_pattern)
    started = perf_counter()
    input_spec, data = resolve_input(classifier, spec, options)
    seconds = perf_counter() - started
    trained = classifier.card.train_data
    if trained is not None and trained.overlaps(data.range):
        raise DataError(
            f"'{spec}' holds images that trained this classifier ('{trained.spec}'): mutants would be filtered "
            "and calibrated on answers it knows by heart; use images it never saw, such as @holdout"
        )
    _check_count(len(data), spec, calibration)
    inputs = PixelViews((data.images,), (input_spec,))
    check_scores(classifier, next(inputs.blocks(_PROBE)))
    decided = decide(
        classifier,
        inputs.scores(classifier.scores),
        input_spec.tensor(other_images(data.images)),
        output_kind,
    )
    classifier, scores = decided.classifier, decided.scores
    if as_given is None and isinstance(model, Path):
        as_given = file_scores(model, classifier.output_name)
    if as_given is not None:
        together = classifier.rows_at_once(next(inputs.blocks(1)).shape[1:])
        expected = decided.widened(inputs.scores(as_given, min(together, _TOGETHER)))
        check_same(expected, scores, classifier.output_kind, "the model, simplified for mutants,")
        scores = expected
    predicted, outputs, compared = scores.argmax(axis=1), scores.shape[1], ""
    if dialogue is None:
        naming = choose_classes(data, classes, classifier, predicted, outputs)
    else:
        trial = Trial(classifier, input_spec, data, seconds, dialogue)
        naming, compared = trial.name_classes(classes, predicted, outputs)
    notes = (
        *classifier.notes,
        f"output '{classifier.output_name}': {classifier.output_kind} ({decided.reason})",
        *naming.notes,
        *filter(None, (compared,)),
    )
    half, quarter = len(data) // 2, (len(data) - len(data) // 2) // 2

    def part(start: int, stop: int) -> Part:
        return Part(
            data.part(start, stop), inputs.part(start, stop), naming.labels[start:stop], scores[start:stop]
        )

    certification = part(half + quarter, len(data))
    certify = f"{len(certification.labels):,} certify: {_certifiable(certification, spec, calibration)}"
    return Subject(
        classifier,
        layers,
        input_spec,
        naming.names,
        part(0, half),
        part(half, half + quarter),
        certification,
        (*notes, f"{half:,} images filter the mutants, {quarter:,} choose the policies, {certify}"),
    )


def _check_count(images: int, spec: str, calibration: CalibrationSettings) -> None:
    """Refuse images of which too few certify, even if the classifier gets all of them right."""
    certified = calibration.certification_images
    least = max(_LEAST_IMAGES, 4 * certified)
    if images < least:
        rate = certifiable_rate(ceil(images / 4), calibration.confidence)
        raise DataError(
            f"'{spec}' holds {images} images; half filter the mutants, a quarter chooses the policies and "
            f"a quarter, at least {certified}, certifies their false-alarm rate: give {least} or more, or raise "
            "--max-false-alarm" + (f" (to {rate:g} or more for these)" if images >= _LEAST_IMAGES else "")
        )


def _certifiable(part: Part, spec: str, calibration: CalibrationSettings) -> str:
    """Return how many images the false-alarm rate needs and how many there are.

    Raises:
        DataError: there are too few that the classifier gets right.
    """
    needed, right, held = calibration.certification_images, int(part.correct.sum()), len(part.labels)
    rate, confidence = 100 * calibration.max_false_alarm, 100 * calibration.confidence
    text = (
        f"{rate:.4g}% false alarms at {confidence:.4g}% confidence need {needed:,} of these rightly classified, "
        f"there are {right:,}"
    )
    if right >= needed:
        return text
    # Where it gets hardly any right, more images are no remedy.
    more = f"give {4 * ceil(needed * held / right):,} images or more, or raise" if right else "raise"
    lowest = certifiable_rate(right, calibration.confidence)
    raise DataError(
        f"'{spec}': {held:,} of its images certify; {text}: {more} --max-false-alarm"
        + (f" (to {lowest:g} or more for these)" if right else "")
    )


def other_images(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images that no classifier knows, uint8 [42, H, W, C]: noise, even ones, shuffled pixels."""
    rng = np.random.default_rng(0)
    shape = images.shape[1:]
    noise = rng.integers(0, 256, (16, *shape), dtype=np.uint8)
    dots = np.where(rng.random((16, *shape)) < 0.1, np.uint8(255), np.uint8(0))
    even = np.broadcast_to(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1), (2, *shape))
    shuffled = rng.permuted(images[:8].reshape(8, -1), axis=1).reshape(8, *shape)
    return np.concatenate([noise, dots, even, shuffled])
