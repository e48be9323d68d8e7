"""Classes of a companion, another classifier, that stand for the classes of the original.

A companion may list its classes in another order, name fewer, or have one class for several of the
original's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import DataError, ModelError
from mutant_store.boundary import boundary, printable
from mutant_store.loading.class_match import match_names
from mutant_store.loading.imagenet import with_background

_MOST_BYTES = 1 << 24
_LEAST_COVERED = 0.5
_LEAST_KAPPA = 0.25
"""Least share, of the answers that chance does not explain, that must be the label."""
_DEVIATIONS = 3.0
_SHOWN = 5
_REMEDY = "say which is which with --class-map"


@dataclass(frozen=True, eq=False)
class ClassMap:
    """Class of the companion that each class of the original is.

    Attributes:
        to_companion: int64 [classes of the original], position among the companion's classes, −1
            where the companion has no such class.
        agreement: share of the images whose class both have, on which the companion answers the
            label.
        notes: lines for the user on what was seen and decided.
    """

    to_companion: NDArray[np.int64]
    agreement: float
    notes: tuple[str, ...] = ()


def map_classes(
    original: Sequence[str],
    companion: Sequence[str] | None,
    outputs: int,
    answers: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    name: str = "the companion",
    chosen: Mapping[str, str | int | None] | None = None,
) -> ClassMap:
    """Map the original's classes to those of a companion, and check the map on images.

    Classes are matched by name, see ``match_names``. Where one side has no names, or none that the
    other knows, the companion is taken to have the original's order, if it has as many classes or
    one more, a background class, before them. Any map must then explain the answers far better than
    chance does.

    Args:
        original: class names of the original, in its order.
        companion: class names of the companion, in its order; None where it has none.
        outputs: number of classes of the companion.
        answers: int64 [N], the companion's own labels for images.
        labels: int64 [N], true labels of the same images, or the original's, in its order.
        name: name of the companion for messages.
        chosen: classes that the user maps, see ``read_class_map``; they overrule the names.

    Raises:
        ModelError: the classes do not fit, a name fits several, the companion has fewer than half
            of the classes, or its answers are not those of the map.
    """
    companion = None if companion is None else with_background(companion, outputs)
    if companion is not None and len(companion) != outputs:
        raise ModelError(f"{name} has {outputs:,} classes and {len(companion):,} names of classes")
    given = _given(chosen or {}, original, companion, outputs, name)
    alike = companion is not None and sorted(companion) == sorted(original)
    if companion is None or (not alike and (_numbers(companion) or _numbers(original))):
        found, how = _same_order(len(original), outputs, name, given), "in the original's order"
    else:
        # A name that is there twice has its position behind it in a store, and not elsewhere.
        plain = [text.removesuffix(f" ({place})") for place, text in enumerate(original)]
        found, how = _by_name(plain, companion, name, given), "matched by name"
    for place, there in given.items():
        found[place] = there
    known = int((found >= 0).sum())
    if known < _LEAST_COVERED * len(original):
        raise ModelError(
            f"{name} has only {known:,} of the original's {len(original):,} classes: it has none of "
            f"{_listed([original[place] for place in np.flatnonzero(found < 0).tolist()])}; {_REMEDY}, or take "
            "another companion"
        )
    agreement, seen = _checked(found, outputs, answers, labels, f"{name}, its classes {how},")
    notes = [
        f"{name}: {known:,} of {len(original):,} classes {how}; it answers the label on {agreement:.1%} of "
        f"{seen:,} images"
    ]
    if known < len(original):
        missing = [original[place] for place in np.flatnonzero(found < 0).tolist()]
        notes.append(f"{name} has no class for {_listed(missing)}")
    return ClassMap(found, agreement, tuple(notes))


def read_class_map(path: Path) -> dict[str, str | int | None]:
    """Read a file that says which class of a companion each class of the original is.

    The file is JSON, such as ``{"beagle": "dog", "pug": "dog", "crane": 517, "tench": null}``: a
    class of the original by name, WordNet number or position, and a class of the companion in the
    same way, or null where it has none.

    Raises:
        DataError: the file cannot be read, or is no such text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"--class-map: cannot read {path}: {error.strerror}") from error
    if len(content) > _MOST_BYTES:
        raise DataError(f"--class-map: {path} is longer than {_MOST_BYTES >> 20} MB, no map of classes")
    with boundary(DataError, f"--class-map: {path} is no JSON text", "write {'class': 'class', …} as JSON"):
        pairs = json.loads(content, object_pairs_hook=list)
    fits = isinstance(pairs, list) and pairs and all(_is_entry(pair) for pair in pairs)
    if not fits or len(dict(pairs)) < len(pairs):
        raise DataError(
            f"--class-map: {path} must be one JSON object that gives each class of the original, once, the "
            "name or number of a class of the companion, or null"
        )
    return dict(pairs)


def _is_entry(pair: object) -> bool:
    if not isinstance(pair, tuple):
        return False
    value = pair[1]
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool))


def _given(
    chosen: Mapping[str, str | int | None],
    original: Sequence[str],
    companion: Sequence[str] | None,
    outputs: int,
    name: str,
) -> dict[int, int]:
    """Return the classes that the user maps, by position."""
    places = [_place(text, original, len(original), "the original") for text in chosen]
    found: dict[int, int] = {}
    for place, (text, value) in zip(places, chosen.items(), strict=True):
        if place in found:
            raise ModelError(f"--class-map names the original's class '{printable(text)}' twice")
        found[place] = -1 if value is None else _place(value, companion or (), outputs, name)
    return found


def _place(wanted: str | int, names: Sequence[str], classes: int, whose: str) -> int:
    """Return the position of a class of a classifier that has names, a number of classes, or both."""
    several: list[int] = []
    if isinstance(wanted, str):
        match = match_names([wanted], names)
        if match.positions[0] >= 0:
            return int(match.positions[0])
        several = match.ambiguous.get(0, [])
    if not several and (text := str(wanted)).isascii() and text.isdecimal() and int(text) < classes:
        return int(text)
    what = f"fits {_numbered(several, names)} of {whose}" if several else f"is none of {whose}"
    raise ModelError(
        f"--class-map: class '{printable(str(wanted))}' {what}; write the name or the number of one of its "
        f"{classes:,} classes"
    )


def _same_order(classes: int, outputs: int, name: str, given: dict[int, int]) -> NDArray[np.int64]:
    """Return the map of a companion that lists its classes in the original's order."""
    if given:
        return np.full(classes, -1, dtype=np.int64)
    if outputs not in (classes, classes + 1):
        raise ModelError(
            f"{name} has {outputs:,} classes and the original {classes:,}, and there are no names to match them "
            f"by; give names of both, or {_REMEDY}"
        )
    return np.arange(classes) + (outputs - classes)


def _by_name(
    original: Sequence[str], companion: Sequence[str], name: str, given: dict[int, int]
) -> NDArray[np.int64]:
    """Return the map by names; of names that have nothing in common, the map by order."""
    match = match_names(original, companion)
    for place, several in match.ambiguous.items():
        if place not in given:
            raise ModelError(
                f"the original's class '{printable(original[place])}' ({place}) fits the classes "
                f"{_numbered(several, companion)} of {name}; {_REMEDY}"
            )
    if (match.positions < 0).all() and not given and len(companion) == len(original):
        return np.arange(len(original))
    return match.positions


def _checked(
    found: NDArray[np.int64],
    outputs: int,
    answers: NDArray[np.int64],
    labels: NDArray[np.int64],
    what: str,
) -> tuple[float, int]:
    """Return the share of images on which the companion answers the label, and their number.

    Chance is what answers as frequent as these get, were they dealt out to the images at random; for
    images of one class only, what one class of all gets.

    Raises:
        ModelError: the share is not far above chance.
    """
    expected = found[labels]
    shared = expected >= 0
    expected, said = expected[shared], answers[shared]
    count = len(expected)
    if not count:
        raise ModelError(f"{what} has none of the classes of the {len(labels):,} images; give others")
    agreement = float((said == expected).mean())
    length = max(int(expected.max()), int(said.max())) + 1
    one = len(np.unique(expected)) == 1
    frequencies = (np.bincount(values, minlength=length) / count for values in (expected, said))
    chance = 1 / outputs if one else float(np.prod(list(frequencies), axis=0).sum())
    least = chance + max(_LEAST_KAPPA * (1 - chance), _DEVIATIONS * sqrt(chance * (1 - chance) / count))
    if agreement < least:
        raise ModelError(
            f"{what} answers the label on {agreement:.1%} of {count:,} images, and {least:.1%} would be far above "
            f"chance: check its preprocessing and its class names, or {_REMEDY}"
        )
    return agreement, count


def _numbers(names: Sequence[str]) -> bool:
    """Return whether the names are the positions of the classes, which name nothing."""
    return list(names) == [str(number) for number in range(len(names))]


def _numbered(positions: Sequence[int], names: Sequence[str]) -> str:
    return _listed([f"{names[position]} ({position})" for position in positions])


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(printable, names[:_SHOWN]))
    return shown + (f", … ({len(names):,} in all)" if len(names) > _SHOWN else "")
