"""Mutants as what differs from the original, and the arrays they are kept in. Light: the server imports it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import StoreError

Choice = Mapping[str, NDArray[Any]]
"""What one mutant changes: named arrays of one dimension, int32 or float32, as its operator defines them."""

_MUTANTS, _OFFSETS = "mutants", "offsets"


@dataclass(frozen=True, eq=False)
class Mutant:
    """One mutant: the name of its operator and what it changes."""

    operator: str
    choice: Choice


def pack(pool: list[Mutant]) -> dict[str, NDArray[Any]]:
    """Arrays that hold a pool.

    For every operator ``NAME.mutants`` int32 [m], the numbers of its mutants counted from 1, and for each of its
    arrays ``NAME.FIELD``, all of them end to end, with ``NAME.FIELD.offsets`` int64 [m + 1].
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
    """The pool that ``pack`` turned into arrays; others among them are passed over.

    Raises:
        StoreError: the arrays do not hold every mutant once.
    """
    pool: dict[int, Mutant] = {}
    operators = [name.removesuffix(f".{_MUTANTS}") for name in arrays if name.endswith(f".{_MUTANTS}")]
    for operator in operators:
        offsets = {
            name.split(".")[1]: value
            for name, value in arrays.items()
            if name.startswith(f"{operator}.") and name.endswith(f".{_OFFSETS}")
        }
        for position, number in enumerate(arrays[f"{operator}.{_MUTANTS}"].tolist()):
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


def is_whole(choice: Choice) -> bool:
    """Whether a mutant brings all parameters: its choice is ``values`` float32 [P] and nothing else."""
    return choice.keys() == {"values"}


def patch(
    choice: Choice, values: NDArray[np.float32]
) -> tuple[NDArray[np.int64] | slice, NDArray[np.float32]]:
    """What a mutant with weights of its own writes over the original's parameters.

    Args:
        choice: ``positions`` int32 [k] and either ``values`` float32 [k], or ``sources`` int32 [k], positions whose
            original value each takes; or ``values`` float32 [P] alone, for all positions.
        values: float32 [P], the original's parameters, see ``Parameters``.

    Returns:
        Positions int64 [k], or the slice of all of them, and values float32 [k].

    Raises:
        StoreError: values of all positions are not as many as there are parameters.
    """
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
    """A pool of one operator."""
    return [Mutant(operator, choice) for choice in choices]
