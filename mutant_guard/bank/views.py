"""Images as the networks of a bank read them.

Its imports are light: the server loads it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

_VIEW = "view_"


def view_name(number: int) -> str:
    """Return the name under which tails read view number 1, 2, …; view 0 is what the original reads."""
    return f"{_VIEW}{number}"


def view_number(name: str) -> int | None:
    """Return the number of the view that a tail's input names, or None where it names none."""
    found = re.fullmatch(rf"{_VIEW}([1-9][0-9]{{0,4}})", name)
    return int(found[1]) if found else None


@dataclass(frozen=True, eq=False)
class Views:
    """Images in every size and scale that the networks of a bank read.

    Index them as an array of images: ``views[3:5]`` are the views of two images.

    Attributes:
        arrays: float32 [N, …], one for each view; the first is what the original reads.
    """

    arrays: tuple[FloatArray, ...]

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, rows: slice | NDArray[Any]) -> "Views":
        return Views(tuple(array[rows] for array in self.arrays))

    def __iter__(self) -> Iterator["Views"]:
        return (self[row : row + 1] for row in range(len(self)))


Inputs = FloatArray | Views
"""Images for a bank: what the original reads where no mutant reads anything else, or all views."""


class Images(Protocol):
    """Images of which an index gives some as inputs, such as inputs themselves."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, rows: Any, /) -> Any:
        """Return the inputs of the images at these rows."""
        ...


def arrays_of(inputs: Inputs) -> tuple[FloatArray, ...]:
    """Return the array of each view, the original's first."""
    return inputs.arrays if isinstance(inputs, Views) else (inputs,)


def joined(parts: Sequence[Inputs]) -> Inputs:
    """Join the images of several inputs of one kind."""
    if not isinstance(parts[0], Views):
        return np.concatenate(parts)  # type: ignore[arg-type]
    return Views(tuple(np.concatenate(arrays) for arrays in zip(*map(arrays_of, parts), strict=True)))
