"""Class names in the model's order, and the order itself, judged by what the model answers.

Data sets and models number their classes as they like: by name, by number or as they come.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NoReturn, TypeGuard

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import DataError, ModelError
from mutant_store.boundary import printable
from mutant_store.datasets import ImageData
from mutant_store.datasets.source import natural_key
from mutant_store.graph.classifier import Classifier
from mutant_store.loading.class_match import match_names, wnid_of
from mutant_store.loading.imagenet import imagenet_positions, with_background, wnids
from mutant_store.loading.name_list import in_order_of_numbers

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")
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


def match_classes(
    data: ImageData, given: list[str] | None, outputs: int
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the class names in the model's order, and the data's labels in that order.

    The data may have images of some of the classes only, and spell them otherwise, see
    ``match_names``. Names that are numbers, and none of the model's, are positions of classes;
    WordNet numbers of ImageNet are positions in its order where the model has as many classes.

    Args:
        data: the images.
        given: class names in the model's order; None takes those of the data.
        outputs: number of classes of the model.

    Raises:
        DataError: the names are not as many as the model's ``outputs``, a class of the data is none
            of them, fits several or is another class's as well, or a name is none.
    """
    known = list(data.class_names)
    names = _all_names(known, given, outputs)
    for name in names:
        if not name.strip() or _CONTROL.search(name):
            what = "has a line break or the like in it" if name.strip() else "is empty"
            _refuse_name(f"'{printable(name)}' {what}" if name.strip() else what)
    if names == known:
        for name, count in Counter(names).items():
            if count > 1:
                _refuse_name(f"'{printable(name)}' is there {count} times")
        return names, data.labels
    positions = _positions(known, names)
    return _told_apart(names), positions[data.labels]


def _refuse_name(what: str) -> NoReturn:
    raise DataError(f"a class name {what}; every class needs a name of its own, on one line")


def _all_names(known: list[str], given: list[str] | None, outputs: int) -> list[str]:
    """Return as many names as the model has classes, in its order."""
    names = with_background(known if given is None else given, outputs)
    if len(names) == outputs:
        return names
    if given is None and _numbers(known, outputs) is not None:
        return list(map(str, range(outputs)))
    if given is None and imagenet_positions(known, outputs) is not None:
        return with_background(wnids(), outputs)
    source = "--classes or the model's metadata name" if given else "the data has"
    raise DataError(
        f"the model has {outputs} classes and {source} {len(names)}; give all {outputs} with --classes"
    )


def _positions(known: list[str], names: list[str]) -> NDArray[np.int64]:
    """Return the model's class of each class of the data, int64 [classes of the data]."""
    match = match_names(known, names)
    found = match.positions
    if (found < 0).any():
        by_number = _numbers(known, len(names))
        found = next(filter(_there, (by_number, imagenet_positions(known, len(names)))), found)
    if (found < 0).any():
        for number, places in match.ambiguous.items():
            fitting = [names[place] for place in places]
            if len(set(fitting)) == 1:
                _refuse_name(f"'{printable(fitting[0])}' is there {len(places)} times")
            raise DataError(
                f"the data's class '{printable(known[number])}' fits the model's classes {_listed(fitting)}; give each "
                "a name of its own in --classes and in the data"
            )
        unknown = sorted({known[number] for number in np.flatnonzero(found < 0).tolist()}, key=natural_key)
        raise DataError(f"the data has classes the model does not name: {_listed(unknown)}; check --classes")
    for place, count in Counter(found.tolist()).items():
        if count > 1:
            same = [known[number] for number in np.flatnonzero(found == place).tolist()]
            raise DataError(
                f"the data's classes {_listed(same)} are one class of the model, '{printable(names[place])}'; put "
                "their images into one, or give other names with --classes"
            )
    return found


def _there(positions: NDArray[np.int64] | None) -> TypeGuard[NDArray[np.int64]]:
    return positions is not None


def _numbers(known: Sequence[str], outputs: int) -> NDArray[np.int64] | None:
    """Return names that are numbers of classes of the model as int64; None for other names."""
    if not all(name.isascii() and name.isdecimal() and len(name) < 10 for name in known):
        return None
    found = np.array(list(map(int, known)), dtype=np.int64)
    return found if found.max() < outputs else None


def _told_apart(names: list[str]) -> list[str]:
    """Return the names, those that are there several times with their position behind them."""
    counts = Counter(names)
    return [f"{name} ({place})" if counts[name] > 1 else name for place, name in enumerate(names)]


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
    given = given and in_order_of_numbers(given, data.class_names)
    found, notes = _orders(data, given, classifier, outputs)
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
    shown = len(np.unique(chosen.labels))
    if shown < outputs:
        notes.append(
            f"the images are of {shown:,} of the {outputs:,} classes: filter and certificate are of these"
        )
    twice = [name for place, name in enumerate(chosen.names) if name.endswith(f" ({place})")]
    if twice:
        notes.append(f"class names that are there twice have their position behind them: {_listed(twice)}")
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

    own = classifier.names
    if given:
        add(given, "the order of --classes")
        for held, source in ((classifier.card.classes, _METADATA), (own, _OWN)):
            if held and (names := _permuted(given, held)):
                add(names, source)
    elif classifier.card.classes:
        add(classifier.card.classes, _METADATA)
    if own and not given:
        try:
            add(own, _OWN)
        except DataError as error:
            notes.append(f"the model's own class names ({_listed(own)}) are not used: {error}")
    numbers = {wnid_of(name): name for name in found[0].names} if found else {}
    if numbers.keys() - {None} and len(numbers) == outputs:
        add([name for _, name in sorted((wnid or "", name) for wnid, name in numbers.items())], _WNIDS)
    if len(data.class_names) == outputs:
        add(sorted(data.class_names, key=natural_key), "the natural order of the data's names")
        add(data.class_names, "the order of the data")
        add(sorted(data.class_names), "the text order of the data's names")
    if not found:
        add(None, "the order of the data")
    return found, notes


def _permuted(names: list[str], order: Sequence[str]) -> list[str] | None:
    """Return the names in another order of the same classes; None where it is not of the same."""
    positions = match_names(order, names).positions.tolist()
    return [names[place] for place in positions] if sorted(positions) == list(range(len(names))) else None


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


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
