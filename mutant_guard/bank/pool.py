"""Mutants as their differences from the original, and the arrays that hold them.

Its imports are light: the server loads it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import StoreError

Choice = Mapping[str, NDArray[Any]]
"""Changes of one mutant.

They are named arrays of one dimension, int32 or float32, as the mutant's operator defines them.
"""

_MUTANTS, _OFFSETS = "mutants", "offsets"


@dataclass(frozen=True, eq=False)
class Mutant:
    """Mutant: the name of its operator, and its changes."""

    operator: str
    choice: Choice


def pack(pool: list[Mutant]) -> dict[str, NDArray[Any]]:
    """Return arrays that hold a pool.

    Each operator has the array ``NAME.mutants`` int32 [m], the numbers of its mutants counted from
    1. Each field of its mutants has the array ``NAME.FIELD``, the values of all mutants end to end,
    with ``NAME.FIELD.offsets`` int64 [m + 1].
    """
    arrays: dict[str, NDArray[Any]] = {}
    for operator in sorted({mutant.operator for mutant in pool}):
        numbers = [number for number, mutant in enumerate(pool, 1) if mutant.operator == operator]
        arrays[f"{operator}.{_MUTANTS}"] = np.array(numbers, dtype=np.int32)
        for name in sorted(pool[numbers[0] - 1].choice):
            parts = [pool[number - 1].choice[name] for number in numbers]
            arrays[f"{operator}.{name}"] = np.concatenate(parts)
            arrays[f"{operator}.{name}.{_OFFSETS}"] = np.cumsum([0, *map(len, parts)]).astype(np.int64)
    return arrays


def unpack(arrays: Mapping[str, NDArray[Any]]) -> list[Mutant]:
    """Return the pool that ``pack`` turned into arrays; ignore other arrays among them.

    Raises:
        StoreError: the arrays do not hold every mutant once, or an array is cut short.
    """
    pool: dict[int, Mutant] = {}
    operators = [name.removesuffix(f".{_MUTANTS}") for name in arrays if name.endswith(f".{_MUTANTS}")]
    for operator in operators:
        numbers = arrays[f"{operator}.{_MUTANTS}"]
        offsets = {
            name.removeprefix(f"{operator}.").removesuffix(f".{_OFFSETS}"): value
            for name, value in arrays.items()
            if name.startswith(f"{operator}.") and name.endswith(f".{_OFFSETS}")
        }
        for name, bounds in offsets.items():
            _check(f"{operator}.{name}", arrays.get(f"{operator}.{name}"), bounds, len(numbers))
        for position, number in enumerate(numbers.tolist()):
            pool[number] = Mutant(
                operator,
                {
                    name: arrays[f"{operator}.{name}"][bounds[position] : bounds[position + 1]]
                    for name, bounds in offsets.items()
                },
            )
    if sorted(pool) != list(range(1, len(pool) + 1)):
        raise StoreError("the store's mutants are not numbered from 1 on; build the store again")
    return [pool[number] for number in sorted(pool)]


def _check(name: str, values: NDArray[Any] | None, bounds: NDArray[Any], mutants: int) -> None:
    """Check the values of one field of all mutants, and the bounds that cut them.

    Raises:
        StoreError: there are no such values, or they are not cut into one part a mutant.
    """
    if values is None or values.ndim != 1 or values.dtype not in (np.float32, np.int32):
        raise StoreError(f"'{name}' is no vector of float32 or int32; build the store again")
    whole = bounds.shape == (mutants + 1,) and bounds[0] == 0 and bounds[-1] == len(values)
    if not whole or (np.diff(bounds) < 0).any():
        raise StoreError(f"'{name}.{_OFFSETS}' does not cut the values; build the store again")


def is_whole(choice: Choice) -> bool:
    """Check whether a mutant brings all parameters.

    Its choice is then ``values`` float32 [P] and nothing else.
    """
    return choice.keys() == {"values"}


def patch(
    choice: Choice, values: NDArray[np.float32]
) -> tuple[NDArray[np.int64] | slice, NDArray[np.float32]]:
    """Return the values that a mutant writes over the original's parameters.

    It is meant for mutants with weights of their own.

    Args:
        choice: ``positions`` int32 [k] with ``values`` float32 [k]; or ``positions`` with
            ``sources`` int32 [k], the positions whose original values they take; or ``values``
            float32 [P] alone, for all positions.
        values: float32 [P], the original's parameters, see ``Parameters``.

    Returns:
        Positions int64 [k], or the slice of all positions, and values float32 [k].

    Raises:
        StoreError: the number of values for all positions is not that of the original's parameters,
            or a position is none of the original's.
    """
    for name in {"positions", "sources"} & choice.keys():
        if choice[name].size and not 0 <= choice[name].min() <= choice[name].max() < len(values):
            raise StoreError(f"the {name} of a mutant are not among the parameters; build the store again")
    written = np.asarray(
        choice["values"] if "values" in choice else values[choice["sources"]], dtype=np.float32
    )
    if not is_whole(choice):
        return choice["positions"].astype(np.int64), written
    if written.shape != values.shape:
        raise StoreError(
            f"a mutant brings {len(written):,} parameters and the original has {len(values):,}; "
            "build the store again"
        )
    return slice(None), written


def of(operator: str, choices: Iterable[Choice]) -> list[Mutant]:
    """Return a pool of one operator."""
    return [Mutant(operator, choice) for choice in choices]
