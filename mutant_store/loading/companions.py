"""Companions that a build is given, read and checked on the images of the build."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.choices import OutputKind
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.resizing import ResizeRule
from mutant_store.companions.companion import Companion
from mutant_store.companions.work import multiply_adds
from mutant_store.datasets import ImageData
from mutant_store.graph.classifier import Classifier, check_scores
from mutant_store.graph.original import check_same
from mutant_store.graph.score_kind import decide
from mutant_store.loading.class_map import map_classes, read_class_map
from mutant_store.loading.input_spec import InputOptions, resolve_input, size_of
from mutant_store.loading.model_source import ModelSource, open_original
from mutant_store.loading.pixel_views import PixelViews
from mutant_store.loading.subject import Subject, other_images
from mutant_store.loading.treatments import Dialogue, Trial

_PROBE = 8
_COMPARED = 64


@dataclass(frozen=True)
class CompanionSource:
    """Companion as the user names it.

    Attributes:
        source: source of the classifier.
        input: options for its input; what is None comes from its file, else from the original's.
        output: name of the output with its scores, see ``load_classifier``.
        output_kind: kind of its scores, see ``load_classifier``.
        class_map: file that maps the classes, see ``read_class_map``; None matches them by name.
    """

    source: ModelSource
    input: InputOptions
    output: str | None = None
    output_kind: OutputKind | None = None
    class_map: Path | None = None

    @property
    def name(self) -> str:
        """Name for messages and for the manifest."""
        return Path(self.source.model).name or self.source.model


def load_companions(
    sources: Sequence[CompanionSource],
    subject: Subject,
    spec: str,
    *,
    accuracy_ratio: float,
    dialogue: Dialogue,
) -> tuple[Subject, list[Companion]]:
    """Read companions, and check each on the images that filter mutants.

    Args:
        sources: the companions.
        subject: the original and its images.
        spec: SPEC of these images.
        accuracy_ratio: least accuracy of a companion, as a share of the original's.
        dialogue: receiver of what was seen, and question where another treatment of images than a
            companion's does much better.

    Returns:
        The subject, with a view for each input that a companion has, and the companions.

    Raises:
        ModelError: a companion is no classifier, has other classes, or is not accurate enough; or
            it does much better with other options, and the answer is no.
        DataError: the images cannot be brought to its size.
    """
    found: list[Companion] = []
    report = dialogue.report
    own = subject.classifier
    work = multiply_adds(own.model, _shape(subject.input))
    for number, source in enumerate(sources):
        report.progress(number, len(sources), source.name)
        opened = open_original(
            source.source, spec, source.input, output=source.output, output_kind=source.output_kind
        )
        for note in opened.notes:
            report.step(f"companion {source.name}: {note}")
        started = perf_counter()
        input_spec, data = _resolved(opened.options, opened.classifier, subject.input, spec)
        seconds = perf_counter() - started
        subject, view = _with_view(subject, input_spec, data)
        part = subject.filter
        trial = Trial(
            opened.classifier,
            input_spec,
            data.part(0, len(part.labels)),
            seconds,
            dialogue,
            f"companion {source.name}",
            ("{}={}", ";"),
        )
        companion = _checked(source, trial, subject, view, work)
        compared = next(part.inputs.of_view(view).blocks(_COMPARED))
        scores = companion.classifier.scores(compared)
        check_same(opened.as_given(compared), scores, companion.classifier.output_kind, source.name)
        least = accuracy_ratio * float(part.correct.mean())
        if companion.accuracy < least:
            raise ModelError(
                f"companion {source.name} gets {companion.accuracy:.1%} of the filter's images right, the original "
                f"{part.correct.mean():.1%}: it would doubt too many clean images; check its preprocessing, take a "
                f"more accurate one, or lower --accuracy-ratio"
            )
        for note in companion.notes:
            report.step(note)
        found.append(companion)
    report.progress(len(sources), len(sources), "companions")
    return subject, found


def _resolved(
    options: InputOptions, classifier: Classifier, original: InputSpec, spec: str
) -> tuple[InputSpec, ImageData]:
    """Return a companion's input and the images in it; the original's settings fill what is not said."""
    card = classifier.card
    if options.resize is None:
        size = size_of(classifier, options) or (original.height, original.width)
        options = replace(options, size=size, resize=_scaled(original, *size))
    if options.mean is None and card.mean is None and not classifier.raw_pixels:
        options = replace(options, mean=original.mean)
    if options.std is None and card.std is None and not classifier.raw_pixels:
        options = replace(options, std=original.std)
    return resolve_input(classifier, spec, options)


def _scaled(original: InputSpec, height: int, width: int) -> str:
    """Return the rule that shows a network of another size what the original sees."""
    rule = ResizeRule.parse(original.resize)
    if rule.kind == "exact":
        return "exact" if (height, width) == (original.height, original.width) else "bilinear"
    shorter = round(rule.shorter * min(height, width) / min(original.height, original.width))
    return str(replace(rule, shorter=max(shorter, height, width) if rule.kind == "crop" else 0))


def _with_view(subject: Subject, spec: InputSpec, data: ImageData) -> tuple[Subject, int]:
    """Return the subject with a view for an input, and the number of that view."""
    views = subject.filter.inputs.specs
    if spec in views[1:]:
        return subject, 1 + views[1:].index(spec)
    parts = (subject.filter, subject.choice, subject.certification)
    if len(data) != sum(len(part.labels) for part in parts):
        raise DataError(
            f"of {len(data)} images the original reads others than a companion: mend or remove them"
        )
    start, changed = 0, []
    for part in parts:
        stop = start + len(part.labels)
        changed.append(replace(part, inputs=part.inputs.with_view(data.images[start:stop], spec)))
        start = stop
    kept, choice, certification = changed
    return replace(subject, filter=kept, choice=choice, certification=certification), len(views)


def _checked(source: CompanionSource, trial: Trial, subject: Subject, view: int, work: float) -> Companion:
    """Return a companion whose scores and classes were looked at on the filter's images."""
    classifier, part = trial.classifier, subject.filter
    images: PixelViews = part.inputs.of_view(view)
    spec = images.specs[0]
    check_scores(classifier, next(images.blocks(_PROBE)))
    others = spec.tensor(other_images(images.pixels[0]))
    decided = decide(classifier, images.scores(classifier.scores), others, source.output_kind)
    answers, outputs = decided.scores.argmax(axis=1), decided.scores.shape[1]
    mapped = map_classes(
        subject.classes,
        decided.classifier.card.classes or decided.classifier.names,
        outputs,
        answers,
        part.labels,
        name=f"companion {source.name}",
        chosen=None if source.class_map is None else read_class_map(source.class_map),
    )
    same = outputs == len(subject.classes) and (mapped.to_companion == np.arange(outputs)).all()
    own_work = multiply_adds(decided.classifier.model, _shape(spec))
    companion = Companion(
        name=source.name,
        classifier=decided.classifier,
        input=spec,
        view=view,
        to_companion=None if same else mapped.to_companion,
        outputs=outputs,
        accuracy=0.0,
        multiply_adds=own_work,
        relative_cost=own_work / work if work else 0.0,
    )
    right = companion.labels(decided.scores, part.labels)
    wanted = part.labels if same else mapped.to_companion[part.labels]
    compared = replace(trial, classifier=decided.classifier).ask(
        right, lambda labels, rows: np.asarray(labels == wanted[rows])
    )
    agrees = companion.labels(decided.scores, part.predicted)
    note = (
        f"companion {source.name}: {spec.width}×{spec.height} pixels, resize {spec.resize}, scores "
        f"{decided.classifier.output_kind} ({decided.reason}); {right.mean():.1%} of {len(right)} images right, agrees "
        f"with the original on {agrees.mean():.1%}; {companion.relative_cost:.2f} times the original's multiply-adds"
    )
    return replace(
        companion, accuracy=float(right.mean()), notes=(note, *mapped.notes, *filter(None, (compared,)))
    )


def _shape(spec: InputSpec) -> tuple[int, ...]:
    return spec.tensor(np.zeros((1, spec.height, spec.width, spec.channels), np.uint8)).shape[1:]
