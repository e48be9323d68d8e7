"""Match of the class names of two sides that spell the same classes otherwise.

People write one class of ImageNet as ``n01440764``, ``tench``, ``Tinca_tinca``, ``tench, Tinca
tinca`` or ``n01440764 tench``; other vocabularies differ in case and underscores.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WNID = re.compile(r"(?<![0-9A-Za-z])n[0-9]{8}(?![0-9])")
_SYNONYMS = re.compile(r"[,;|]")
_MARKS = " _-:,()"
_APOSTROPHES = re.compile("['’`]")
_LEAST_MATCHED = 0.5
"""Share of the names that must have one match each before the order of the others counts."""


@dataclass(frozen=True, eq=False)
class Match:
    """Positions of names among other names.

    Attributes:
        positions: int64 [wanted], position of each wanted name among the known ones, −1 where it
            has none or several.
        ambiguous: positions that fit a wanted name equally, by the position of that name.
    """

    positions: NDArray[np.int64]
    ambiguous: dict[int, list[int]]


def wnid_of(text: str) -> str | None:
    """Return the WordNet number in a class name, such as n01440764; None without exactly one."""
    found = set(_WNID.findall(text))
    return found.pop() if len(found) == 1 else None


def words_of(text: str) -> str:
    """Return the letters and digits of a name: no WordNet number, case, or punctuation."""
    plain = unicodedata.normalize("NFKC", _APOSTROPHES.sub("", _WNID.sub(" ", text))).casefold()
    return " ".join("".join(sign if sign.isalnum() else " " for sign in plain).split())


def match_names(wanted: Sequence[str], known: Sequence[str]) -> Match:
    """Find each wanted name among the known ones, by the closest spelling that tells one.

    The spellings, closest first: the text itself, the WordNet number, the text without that number,
    all words, the first synonym, any synonym; commas separate synonyms. Several wanted names may be
    synonyms of one known name. Names that are there twice are matched in their order, where both
    sides have as many of them and list everything else in the same order.

    Args:
        wanted: names to find.
        known: names to find them among.
    """
    positions = np.full(len(wanted), -1, dtype=np.int64)
    groups: dict[int, tuple[list[int], list[int]]] = {}
    for keys_of in _SPELLINGS:
        missing = np.flatnonzero(positions < 0).tolist()
        keys = {place: keys_of(wanted[place]) for place in range(len(wanted))}
        seekers = _by_key({place: keys[place] for place in missing})
        holders = _by_key(dict(enumerate(map(keys_of, known))))
        claims = _claims(positions, keys)
        found = {}
        for place in missing:
            fitting = sorted(
                {there for key in keys[place] for there in holders[key] if key not in claims[there]}
            )
            asking = sorted({other for key in keys[place] for other in seekers[key]})
            if len(fitting) == len(asking) == 1:
                found[place] = fitting[0]
            elif fitting and (place not in groups or len(fitting) == len(asking)):
                groups[place] = asking, fitting
        for place, there in found.items():
            positions[place] = there
    ordered = _in_order(positions, groups)
    open_places = np.flatnonzero(ordered < 0).tolist()
    return Match(ordered, {place: groups[place][1] for place in open_places if place in groups})


_SPELLINGS: tuple[Callable[[str], set[str]], ...] = (
    lambda text: {text.strip()},
    lambda text: {wnid_of(text) or ""} - {""},
    lambda text: {_WNID.sub("", text).strip(_MARKS)} - {""},
    lambda text: {words_of(text)} - {""},
    lambda text: {words_of(_SYNONYMS.split(text)[0])} - {""},
    lambda text: set(map(words_of, _SYNONYMS.split(text))) - {""},
)


def _by_key(keys: dict[int, set[str]]) -> defaultdict[str, list[int]]:
    """Return the places that have each key."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for place, held in keys.items():
        for key in held:
            found[key].append(place)
    return found


def _claims(positions: NDArray[np.int64], keys: dict[int, set[str]]) -> defaultdict[int, set[str]]:
    """Return the keys of the names that are matched to each known name already."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for place in np.flatnonzero(positions >= 0).tolist():
        found[int(positions[place])] |= keys[place]
    return found


def _in_order(
    positions: NDArray[np.int64], groups: dict[int, tuple[list[int], list[int]]]
) -> NDArray[np.int64]:
    """Return the positions with names that are there several times matched in their order."""
    filled = positions.copy()
    for asking, fitting in groups.values():
        if len(asking) == len(fitting) and (positions[asking] < 0).all():
            filled[asking] = fitting
    if (positions >= 0).mean() < _LEAST_MATCHED or not _rises(filled[filled >= 0]):
        return positions
    return filled


def _rises(numbers: Iterable[int]) -> bool:
    return bool((np.diff(np.fromiter(numbers, np.int64)) > 0).all())
