"""Other ways in which images may become the input of a classifier, compared on some images.

A wrong mean, standard deviation, channel order or crop costs accuracy and raises no error. So the
usual treatments are tried, and one with which the classifier does much better is told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.calibration.intervals import binomial_cdf
from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.resizing import ResizeRule
from mutant_store.datasets import ImageData, load
from mutant_store.graph.classifier import Classifier
from mutant_store.loading.class_names import Naming, choose_classes, possible_orders
from mutant_store.reporter import Reporter

Labels = NDArray[np.int64]
Right = Callable[[Labels, slice], NDArray[np.bool_]]
"""Function from the labels of some images, and their rows, to those that are right."""

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE = (103.939 / 255, 116.779 / 255, 123.68 / 255), (1 / 255,) * 3
"""Mean of ImageNet in blue, green and red, subtracted from pixels 0 to 255, as Caffe's networks have it."""
_SCALES = (
    ("pixels from 0 to 1", 0.0, 1.0),
    ("pixels from 0 to 255", 0.0, 1 / 255),
    ("pixels from -1 to 1", 0.5, 0.5),
)
"""Words, mean and standard deviation; the last is nearly (pixel - 127) / 128 as well."""
_CROPPED = 0.875
"""Share of the shorter side that the usual crop keeps."""
_SECONDS, _RELOADING = 25.0, 8.0
"""Seconds for the whole race, and for loading the images before they are loaded under another rule."""
_BLOCK, _LEAST, _MOST = 16, 128, 1024
"""Images of a round, of a race with a clear winner, and of any."""
_BETTER = 0.05
"""Least gain in the share of right answers of a treatment that does much better."""
_SURE, _LIKELY, _DOUBTED = 1e-6, 1e-4, 1e-2
"""Probability of a gain by chance: below the first the race may end, below the second a treatment does
much better (there are up to seven), below the third it is worth a word."""
_PERFECT = 1 - _BETTER


@dataclass(frozen=True)
class Treatment:
    """Treatment of images.

    Attributes:
        name: words for how it differs from that in use.
        options: names and values of the options of ``mutant-store build`` that choose it.
        spec: input with this treatment.
    """

    name: str
    options: dict[str, str]
    spec: InputSpec


@dataclass(frozen=True)
class Dialogue:
    """What a person is told and asked while a classifier is looked at.

    Attributes:
        report: receiver of the progress.
        confirm: function that asks whether to go on although another treatment does much better,
            from a sentence on it.
    """

    report: Reporter
    confirm: Callable[[str], bool]


def other_treatments(spec: InputSpec) -> list[Treatment]:
    """Return the usual treatments that an input does not have."""
    found = []

    def add(name: str, **changes: object) -> None:
        changed = spec.model_copy(update=changes)
        alike = np.allclose([changed.mean, changed.std], [spec.mean, spec.std], rtol=0.03, atol=0.003)
        if alike and (changed.channel_order, changed.resize) == (spec.channel_order, spec.resize):
            return
        options = {
            field.replace("_", "-"): _text(value)
            for field, value in changes.items()
            if getattr(spec, field) != value
        }
        found.append(Treatment(name, options, changed))

    coloured = spec.channels == 3
    if coloured:
        mean, std = (list(values[:: -1 if spec.channel_order == "bgr" else 1]) for values in _IMAGENET)
        add("ImageNet's mean and standard deviation", mean=mean, std=std)
    for name, centre, scale in _SCALES:
        add(name, mean=[centre] * spec.channels, std=[scale] * spec.channels)
    if coloured:
        order = "rgb" if spec.channel_order == "bgr" else "bgr"
        add("blue and red exchanged", channel_order=order)
        if spec.mean != spec.mean[::-1] or spec.std != spec.std[::-1]:
            turned = {"channel_order": order, "mean": spec.mean[::-1], "std": spec.std[::-1]}
            add("blue and red exchanged, in mean and std as well", **turned)
        add("Caffe's", channel_order="bgr", mean=list(_CAFFE[0]), std=list(_CAFFE[1]))
    rule, side = ResizeRule.parse(spec.resize), max(spec.height, spec.width)
    if rule.kind in ("crop", "fit"):
        add("images squashed", resize=rule.filter)
    if rule.kind in ("squash", "fit"):
        cropped = ResizeRule("crop", rule.filter, int(side / _CROPPED))
        add("the centre cropped", resize=str(cropped))
    return found


@dataclass(frozen=True, eq=False)
class Trial:
    """Trial of other treatments than the one in use.

    Attributes:
        classifier: the classifier.
        used: input with the treatment in use.
        data: the images, as loaded for this input, in a random order.
        loading_seconds: seconds that loading the images took. Other resize rules are left out where
            that is long.
        dialogue: receiver of the progress, and the question.
        name: name of the classifier for messages.
        syntax: how an option of it is written, and what stands between two.
    """

    classifier: Classifier
    used: InputSpec
    data: ImageData
    loading_seconds: float
    dialogue: Dialogue
    name: str = "the classifier"
    syntax: tuple[str, str] = "--{} {}", " "

    def ask(self, own: NDArray[np.bool_], right: Right) -> str:
        """Ask before going on where another treatment does much better.

        Args:
            own: bool [N], images that are right as it is.
            right: function that tells which labels are right.

        Returns:
            Sentence on what was tried; empty where no treatment can do much better, as nearly all
            answers are right.

        Raises:
            ModelError: another treatment does much better and the answer is no.
        """
        if own.mean() > _PERFECT:
            return ""
        found = self._race(own, right)
        if not found.better:
            return f"{self.name}: {found.note}"
        if not found.sure:
            return f"WARNING: {found.better}; that may be chance: try it"
        if not self.dialogue.confirm(found.better):
            raise ModelError(f"{found.better}: give these options, or go on as it is with --yes")
        return f"WARNING: {found.better}; gone on all the same"

    def name_classes(self, given: list[str] | None, answers: Labels, outputs: int) -> tuple[Naming, str]:
        """Name the classes as ``choose_classes`` does, and ask as ``ask`` does.

        Args:
            given: class names that the user gives, in the model's order.
            answers: int64 [N], labels of the classifier.
            outputs: number of classes of the model.

        Returns:
            The classes, and the sentence of ``ask``.

        Raises:
            ModelError: another treatment does much better and the answer is no, or the classifier
                does not know these images.
            DataError: the images have other classes than the model, or these another order.
        """
        try:
            naming = choose_classes(self.data, given, self.classifier, answers, outputs)
        except ModelError as error:
            labels = possible_orders(self.data, given, self.classifier, outputs)[0][0].labels
            found = self._race(labels == answers, _right(labels))
            if found.better and found.sure:
                raise ModelError(f"{error}; {found.better}: give these options") from error
            raise
        return naming, self.ask(naming.labels == answers, _right(naming.labels))

    def _race(self, own: NDArray[np.bool_], right: Right) -> "_Outcome":
        """Compare other treatments with that in use, a few images at a time, until time is up.

        Those without hope leave the race early. McNemar's exact test on the images that only one of
        two treatments gets right says whether a gain is chance.
        """
        started = perf_counter()
        racers = [
            _Racer(treatment, images)
            for treatment in other_treatments(self.used)
            if (images := self._images(treatment.spec)) is not None
        ]
        live, most = list(racers), min(_MOST, len(own))
        for start in range(0, most, _BLOCK):
            rows = slice(start, min(start + _BLOCK, most))
            for racer in live:
                inputs = racer.treatment.spec.tensor(racer.images[rows])
                racer.add(right(self.classifier.scores(inputs).argmax(axis=1), rows), own[rows])
            self.dialogue.report.progress(rows.stop, most, f"images under {len(live)} other treatments")
            live = [racer for racer in live if not racer.hopeless]
            sure = rows.stop >= _LEAST and min((racer.chance for racer in live), default=0.0) < _SURE
            if not live or sure or perf_counter() - started > _SECONDS:
                break
        note = f"{len(racers)} other treatments of images tried, none of them much better"
        best = max(live, key=lambda racer: (racer.right, -len(racer.treatment.options)), default=None)
        if best is None or best.gain < _BETTER or best.chance > _DOUBTED:
            return _Outcome("", False, note)
        option, between = self.syntax
        options = between.join(option.format(*each) for each in best.treatment.options.items())
        before = int(own[: best.seen].sum()) / best.seen
        text = (
            f"with {best.treatment.name} ({options}) {self.name} gets {best.right / best.seen:.1%} of "
            f"{best.seen} images right, and as it is {before:.1%}"
        )
        return _Outcome(text, best.chance <= _LIKELY, note)

    def _images(self, spec: InputSpec) -> NDArray[np.uint8] | None:
        """Return the first images under a resize rule, or None where they cannot be had in time."""
        if spec.resize == self.used.resize:
            return self.data.images
        if self.loading_seconds > _RELOADING:
            return None
        first = self.data.part(0, min(_MOST, len(self.data)))
        try:
            shape = (spec.height, spec.width, spec.channels)
            other = load(first.range.spec, shape=shape, resize=spec.resize)
        except DataError:
            return None
        differs = len(other) == len(first) and not np.array_equal(other.images, first.images)
        return other.images if differs and np.array_equal(other.labels, first.labels) else None


def _right(labels: Labels) -> Right:
    return lambda answers, rows: np.asarray(labels[rows] == answers)


@dataclass(frozen=True)
class _Outcome:
    """Sentence on the best treatment, if any does better, whether it is sure, and what was tried."""

    better: str
    sure: bool
    note: str


@dataclass
class _Racer:
    """Treatment in the race.

    Attributes:
        treatment: the treatment.
        images: uint8 [n, H, W, C], the first images under its resize rule.
        seen: number of images that were compared.
        right: number of them that it gets right.
        only: number that it alone gets right.
        lost: number that only the treatment in use gets right.
    """

    treatment: Treatment
    images: NDArray[np.uint8]
    seen: int = 0
    right: int = 0
    only: int = 0
    lost: int = 0

    @property
    def gain(self) -> float:
        """Difference of the shares of right answers."""
        return (self.only - self.lost) / max(self.seen, 1)

    @property
    def chance(self) -> float:
        """Probability of as many images or more that it alone gets right, if both are equal (McNemar)."""
        return binomial_cdf(self.lost, self.only + self.lost, 0.5)

    @property
    def hopeless(self) -> bool:
        """Whether its gain, two standard errors added, is too small; a larger one is unlikely."""
        error = sqrt(self.only + self.lost + 1) / max(self.seen, 1)
        return self.gain + 2 * error < _BETTER

    def add(self, hits: NDArray[np.bool_], own: NDArray[np.bool_]) -> None:
        """Count the answers to further images, right or not, of both treatments."""
        self.seen += len(hits)
        self.right += int(hits.sum())
        self.only += int((hits & ~own).sum())
        self.lost += int((own & ~hits).sum())


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(f"{number:.4g}" for number in value)
    return str(value)
