"""Seeds for the toolbox, which draws from numpy's global generator.

The generator is seeded for a while and then put back.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed numpy's global generator with 0 ≤ ``seed`` < 2³², and restore its state at the end."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def seed_of(*numbers: int) -> int:
    """Return one seed, below 2³², for several non-negative numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
