"""The toolbox draws from numpy's global generator; here it is seeded for a while and then put back."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """numpy's global generator seeded with 0 ≤ ``seed`` < 2³²; its state is restored at the end."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def seed_of(*numbers: int) -> int:
    """One seed for several non-negative numbers, below 2³²."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
