"""Labels of a data set in the model's order of classes, whatever names the data has for them."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import DataError
from mutant_store.boundary import printable
from mutant_store.datasets import ImageData
from mutant_store.datasets.source import natural_key
from mutant_store.loading.class_match import match_names
from mutant_store.loading.imagenet import imagenet_positions, with_background

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")
_SHOWN = 5


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
    source = "--classes or the model's metadata name" if given else "the data has"
    raise DataError(
        f"the model has {outputs} classes and {source} {len(names)}; give all {outputs} with --classes"
    )


def _positions(known: list[str], names: list[str]) -> NDArray[np.int64]:
    """Return the model's class of each class of the data, int64 [classes of the data]."""
    match = match_names(known, names)
    found = match.positions
    if (found < 0).any():
        by_number = (_numbers(known, len(names)), imagenet_positions(known, len(names), names))
        found = next((positions for positions in by_number if positions is not None), found)
    if (found < 0).any():
        for number, places in match.ambiguous.items():
            fitting = [names[place] for place in places]
            if len(set(fitting)) == 1:
                _refuse_name(f"'{printable(fitting[0])}' is there {len(places)} times")
            raise DataError(
                f"the data's class '{printable(known[number])}' fits the model's classes {listed(fitting)}; give each "
                "a name of its own in --classes and in the data"
            )
        unknown = sorted({known[number] for number in np.flatnonzero(found < 0).tolist()}, key=natural_key)
        raise DataError(f"the data has classes the model does not name: {listed(unknown)}; check --classes")
    for place, count in Counter(found.tolist()).items():
        if count > 1:
            same = [known[number] for number in np.flatnonzero(found == place).tolist()]
            raise DataError(
                f"the data's classes {listed(same)} are one class of the model, '{printable(names[place])}'; put "
                "their images into one, or give other names with --classes"
            )
    return found


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


def listed(names: Sequence[str]) -> str:
    """Return the first five of names as text."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
