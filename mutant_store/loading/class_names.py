"""Class names in the model's order, and the order itself, judged by what the model answers.

Data sets and models number their classes as they like: by name, by number or as they come.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import DataError, ModelError
from mutant_store.boundary import printable
from mutant_store.datasets import ImageData
from mutant_store.datasets.source import natural_key
from mutant_store.graph.classifier import Classifier

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")
_FAR_BETTER = 0.1
"""Share of right answers by which another order of the classes must be better to be taken."""
_ABOVE_CHANCE = 1.5
_LOW = 0.5
_SHORT_OF_CARD = 0.05
_SEEN = 5
_SHOWN = 5


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


def match_classes(
    data: ImageData, given: list[str] | None, outputs: int
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the class names in the model's order, and the data's labels in that order.

    Args:
        data: the images.
        given: class names in the model's order; None takes those of the data.
        outputs: number of classes of the model.

    Raises:
        DataError: the names are not those of the data, not as many as the model's ``outputs``, or a
            name is there twice.
    """
    names = given or list(data.class_names)
    if len(names) != outputs and not (data.numbered and given is None and len(names) < outputs):
        source = "--classes or the model's metadata name" if given else "the data has"
        raise DataError(
            f"the model has {outputs} classes and {source} {len(names)}; give all {outputs} with --classes"
        )
    for name, count in Counter(names).items():
        if count > 1 or not name.strip() or _CONTROL.search(name):
            what = f"is there {count} times" if count > 1 else "has a line break or the like in it"
            what = f"'{printable(name)}' {what}" if name.strip() else "is empty"
            raise DataError(f"a class name {what}; every class needs a name of its own, on one line")
    if names == list(data.class_names):
        return names, data.labels
    known = {name: position for position, name in enumerate(names)}
    unknown = sorted(set(data.class_names) - known.keys())
    if data.numbered and unknown and len(data.class_names) <= outputs:
        return names, data.labels
    if unknown:
        raise DataError(
            f"the data has classes the model does not name: {', '.join(unknown[:_SHOWN])}; check --classes"
        )
    order = np.array([known[name] for name in data.class_names], dtype=np.int64)
    return names, order[data.labels]


def choose_classes(
    data: ImageData,
    given: list[str] | None,
    classifier: Classifier,
    predicted: NDArray[np.int64],
    outputs: int,
) -> Naming:
    """Choose the order of the classes: as given, else the model's own, else that of the data.

    Where another order explains the images far better, that is taken and said. An order that was
    given is not overruled but refused.

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
    found, notes = _orders(data, given, classifier, outputs)
    rates = [naming.accuracy(predicted) for naming in found]
    best = int(np.argmax(rates))
    if rates[best] <= rates[0] + _FAR_BETTER:
        best = 0
    elif given:
        raise DataError(
            f"with the order of --classes the classifier gets {rates[0]:.1%} of the images right, with "
            f"{found[best].source} {rates[best]:.1%}; leave out --classes, or give the names in the model's order"
        )
    else:
        notes.append(
            f"WARNING: {found[0].source} fits {rates[0]:.1%} of the images and {found[best].source} {rates[best]:.1%}: "
            f"that order is used ({_listed(found[best].names)}); say --classes to settle it"
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
    notes += _doubts(data, chosen, predicted, classifier.card.accuracy)
    return Naming(chosen.names, chosen.labels, chosen.source, tuple(notes))


def _orders(
    data: ImageData, given: list[str] | None, classifier: Classifier, outputs: int
) -> tuple[list[Naming], list[str]]:
    """Return the orders that are possible, the one to take first, and notes on others."""
    found: list[Naming] = []
    notes: list[str] = []

    def add(names: Sequence[str] | None, source: str) -> None:
        matched = match_classes(data, None if names is None else list(names), outputs)
        if all(matched[0] != naming.names for naming in found):
            found.append(Naming(*matched, source))

    if given:
        add(given, "the order of --classes")
    elif classifier.card.classes:
        add(classifier.card.classes, "the order of the model's metadata")
    own = classifier.names
    if own and not given:
        try:
            add(own, "the model's own order")
        except DataError as error:
            notes.append(f"the model's own class names ({_listed(own)}) are not used: {error}")
    if len(data.class_names) == outputs:
        add(sorted(data.class_names, key=natural_key), "the natural order of the data's names")
        add(data.class_names, "the order of the data")
        add(sorted(data.class_names), "the text order of the data's names")
    if not found:
        add(None, "the order of the data")
    return found, notes


def _doubts(data: ImageData, chosen: Naming, predicted: NDArray[np.int64], said: float | None) -> list[str]:
    """Return warnings where the answers look as if the classes were others.

    Raises:
        ModelError: the answers are no better than chance, or far from what training wrote down.
    """
    accuracy, classes = chosen.accuracy(predicted), len(chosen.names)
    check = "check --mean, --std, --layout and the order of --classes"
    if accuracy < min(_ABOVE_CHANCE / classes, 0.9):
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


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
