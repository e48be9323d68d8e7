"""Text that lists class names: one a line, or as JSON or Python writes a list or a mapping."""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from mutant_store.graph.own_names import value_of
from mutant_store.loading.class_match import wnid_of

_NUMBERED = re.compile(r"([0-9]{1,6})(?:[:;,.)]|\s)\s*(\S.*)")
_LEAST_DIFFERENT = 0.5


def names_in(text: str) -> list[str] | None:
    """Return the class names that a text lists; None where it is a value of another form.

    Forms: one name a line; JSON or Python such as ``["cat", "dog"]``, ``{"0": "cat", "1": "dog"}``,
    ``{"cat": 0, "dog": 1}``, ``{"0": ["n01440764", "tench"]}`` and ``{"n01440764": "tench"}``; the
    ``config.json`` of a Hugging Face model.
    """
    if text.lstrip()[:1] in ("{", "["):
        value = value_of(text.strip())
        if isinstance(value, Mapping | Sequence):
            with suppress(ValueError):  # an integer of thousands of digits has no text
                return _names(value.get("id2label", value) if isinstance(value, Mapping) else value)
            return None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _names(value: object) -> list[str] | None:
    """Return names that are given as a list or as a mapping, in the order of their positions."""
    if isinstance(value, Mapping):
        keys, held = list(map(str, value)), list(value.values())
        if all(isinstance(number, int) for number in held):
            keys, held = list(map(str, held)), keys
        if all(wnid_of(key) == key for key in keys):
            held = [[key, name] for key, name in zip(keys, held, strict=True)]
        elif sorted(keys) == sorted(map(str, range(len(keys)))):
            named = dict(zip(keys, held, strict=True))
            held = [named[str(number)] for number in range(len(keys))]
        else:
            return None
        value = held
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    rows = [[part] if isinstance(part, str | int) else part for part in value]
    if not all(
        isinstance(row, list | tuple) and all(isinstance(part, str | int) for part in row) for row in rows
    ):
        return None
    return [" ".join(map(str, row)) for row in rows] or None


def in_order_of_numbers(names: list[str], known: Collection[str]) -> list[str]:
    """Return names without the numbers of their classes before them, in the order of the numbers.

    Lists such as ``0 tench``, ``1 goldfish`` count from 0 or from 1. Other names are left as they
    are, and so are those that the data has itself, or that only their numbers tell apart.

    Args:
        names: names as they are listed.
        known: class names of the data.
    """
    found = [_NUMBERED.fullmatch(name) for name in names]
    numbers = [int(match[1]) for match in found if match]
    rest = {match[2] for match in found if match}
    first = min(numbers, default=0)
    counted = first in (0, 1) and sorted(numbers) == list(range(first, first + len(names)))
    if not counted or set(known) <= set(names) or len(rest) < _LEAST_DIFFERENT * len(names):
        return names
    placed = sorted((int(match[1]), match[2]) for match in found if match)
    return [name for _, name in placed]
