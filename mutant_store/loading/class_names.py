"""Class names in the model's order, and the order itself, judged by what the model answers.

Data sets and models number their classes as they like: by name, by number or as they come.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import DataError, ModelError
from mutant_store.datasets import ImageData
from mutant_store.datasets.source import natural_key
from mutant_store.graph.classifier import Classifier
from mutant_store.loading.class_match import match_names, wnid_of
from mutant_store.loading.data_labels import listed, match_classes
from mutant_store.loading.imagenet import (
    imagenet_classes,
    imagenet_names,
    imagenet_positions,
    with_background,
)
from mutant_store.loading.name_list import in_order_of_numbers

_FAR_BETTER = 0.1
"""Share of right answers by which another order of the classes must be better to be taken."""
_ABOVE_CHANCE = 1.5
_DEVIATIONS = 3.0
_LOW = 0.5
_SHORT_OF_CARD = 0.05
_SEEN = 5
_SHOWN = 5
_METADATA, _OWN = "the order of the model's metadata", "the model's own order"
_WNIDS = "the order of the WordNet numbers"
_SETTLED = (_METADATA, _OWN, _WNIDS)
"""Orders that are the model's, whatever order its names are given in."""


@dataclass(frozen=True, eq=False)
class Naming:
    """Order of the classes, and the labels in it.

    Attributes:
        names: class names in the model's order.
        labels: int64 [N], true labels in this order.
        source: words for where the order comes from.
        notes: lines for the user on what was seen and decided.
    """

    names: list[str]
    labels: NDArray[np.int64]
    source: str
    notes: tuple[str, ...] = ()

    def accuracy(self, predicted: NDArray[np.int64]) -> float:
        """Return the share of right answers."""
        return float((predicted == self.labels).mean())


def choose_classes(
    data: ImageData,
    given: list[str] | None,
    classifier: Classifier,
    predicted: NDArray[np.int64],
    outputs: int,
) -> Naming:
    """Choose the order of the classes: as given, else the model's own, else that of the data.

    Where another order explains the images far better, that is taken and said. An order that was
    given is overruled by that of the model's metadata or of WordNet numbers in the names; for
    another order it is refused.

    Args:
        data: the images.
        given: class names that the user gives, in the model's order.
        classifier: the classifier, whose file may name classes.
        predicted: int64 [N], the classifier's labels.
        outputs: number of classes of the model.

    Raises:
        DataError: the names are not those of the data, or the order that was given is wrong.
        ModelError: the classifier does not know these images in any order.
    """
    found, notes = possible_orders(data, given, classifier, outputs)
    rates = [naming.accuracy(predicted) for naming in found]
    best = int(np.argmax(rates))
    if rates[best] <= rates[0] + _FAR_BETTER:
        best = 0
    elif given and found[best].source not in _SETTLED:
        raise DataError(
            f"with the order of --classes the classifier gets {rates[0]:.1%} of the images right, with "
            f"{found[best].source} {rates[best]:.1%}; leave out --classes, or give the names in the model's order"
        )
    else:
        notes.append(
            f"WARNING: {found[0].source} fits {rates[0]:.1%} of the images and {found[best].source} {rates[best]:.1%}: "
            f"that order is used ({listed(found[best].names)})"
            + ("" if given else "; say --classes to settle it")
        )
    chosen = found[best]
    others = [
        f"{naming.source} {rate:.1%}"
        for naming, rate in zip(found, rates, strict=True)
        if naming is not chosen
    ]
    notes.append(
        f"{rates[best]:.1%} of {len(data):,} images right, {len(chosen.names)} classes in {chosen.source}"
        + (f" (in {', in '.join(others)})" if others else "")
    )
    shown = len(np.unique(chosen.labels))
    if shown < outputs:
        notes.append(
            f"the images are of {shown:,} of the {outputs:,} classes: filter and certificate are of these"
        )
    twice = [name for place, name in enumerate(chosen.names) if name.endswith(f" ({place})")]
    if twice:
        notes.append(f"class names that are there twice have their position behind them: {listed(twice)}")
    notes += _doubts(data, chosen, predicted, classifier.card.accuracy)
    return Naming(chosen.names, chosen.labels, chosen.source, tuple(notes))


def possible_orders(
    data: ImageData, given: list[str] | None, classifier: Classifier, outputs: int
) -> tuple[list[Naming], list[str]]:
    """Return the orders that are possible, the one to take first, and notes on others.

    For arguments and errors see ``choose_classes``.
    """
    given = given and in_order_of_numbers(given, data.class_names)
    found: list[Naming] = []
    notes: list[str] = []

    def add(names: Sequence[str] | None, source: str) -> None:
        matched = match_classes(data, None if names is None else list(names), outputs)
        if all(matched[0] != naming.names for naming in found):
            found.append(Naming(*matched, source))

    own = classifier.names
    if given:
        try:
            add(given, "the order of --classes")
        except DataError:
            # Two names that are the same may have classes that only the order of numbers tells.
            if (names := _by_wnid(given)) is None:
                raise
            add(names, _WNIDS)
        for held, source in ((classifier.card.classes, _METADATA), (own, _OWN)):
            if held and (names := _permuted(given, held)):
                add(names, source)
    elif classifier.card.classes:
        add(classifier.card.classes, _METADATA)
    if own and not given:
        try:
            add(own, _OWN)
        except DataError as error:
            notes.append(f"the model's own class names ({listed(own)}) are not used: {error}")
    if not found and imagenet_positions(data.class_names, outputs) is not None:
        add(imagenet_names(outputs), "the order of ImageNet")
    elif found and (names := _by_wnid(found[0].names)):
        add(names, _WNIDS)
    if len(data.class_names) == outputs:
        add(sorted(data.class_names, key=natural_key), "the natural order of the data's names")
        add(data.class_names, "the order of the data")
        add(sorted(data.class_names), "the text order of the data's names")
    if not found:
        add(None, "the order of the data")
    return found, notes


def _by_wnid(names: list[str]) -> list[str] | None:
    """Return names in the order of their WordNet numbers, in them or ImageNet's; None without."""
    names = [name.removesuffix(f" ({place})") for place, name in enumerate(names)]
    numbers = {wnid_of(name): name for name in names}
    if len(numbers) == len(names) and len(numbers) > 2:
        return [name for _, name in sorted((wnid or "", name) for wnid, name in numbers.items())]
    order = with_background(imagenet_classes(), len(names))
    return _permuted(names, order) if len(order) == len(names) else None


def _permuted(names: list[str], order: Sequence[str]) -> list[str] | None:
    """Return the names in another order of the same classes; None where it is not of the same."""
    match = match_names(order, names)
    found: list[str] = []
    for place, position in enumerate(match.positions.tolist()):
        fitting = {names[there] for there in match.ambiguous.get(place, [position])}
        if position < 0 and (place not in match.ambiguous or len(fitting) > 1):
            return None
        found += fitting
    return found if Counter(found) == Counter(names) else None


def _doubts(data: ImageData, chosen: Naming, predicted: NDArray[np.int64], said: float | None) -> list[str]:
    """Return warnings where the answers look as if the classes were others.

    Raises:
        ModelError: the answers are no better than chance, or far from what training wrote down.
    """
    accuracy, classes = chosen.accuracy(predicted), len(chosen.names)
    check = "check --mean, --std, --layout and the order of --classes"
    deviation = sqrt((classes - 1) / len(data)) / classes
    if accuracy < min(max(_ABOVE_CHANCE / classes, 1 / classes + _DEVIATIONS * deviation), 0.9):
        raise ModelError(
            f"the classifier gets only {accuracy:.1%} of '{data.range.spec}' right, no better than chance for "
            f"{classes} classes; {check}"
        )
    found = []
    if said is not None and accuracy < said - max(_SHORT_OF_CARD, 2 / np.sqrt(len(data))):
        text = f"the classifier gets {accuracy:.1%} of the images right, and its metadata says {said:.1%}"
        if accuracy < said / 2:
            raise ModelError(f"{text}; {check}, and that these are images of its kind")
        found.append(f"WARNING: {text}; {check}")
    if accuracy < _LOW:
        found.append(f"WARNING: the classifier gets most of the images wrong; {check}")
    for label in np.unique(chosen.labels).tolist():
        answers = predicted[chosen.labels == label]
        most = int(np.bincount(answers, minlength=classes).argmax())
        if most != label and len(answers) >= _SEEN and (answers == most).mean() > _LOW:
            found.append(
                f"WARNING: images of class '{chosen.names[label]}' are mostly answered '{chosen.names[most]}'; "
                "check the order of the classes"
            )
    return found[:_SHOWN]
