"""Random draws as functions of the build's seed and their purpose."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """Purpose of a draw."""

    chosen_images = 1
    adversarial = 2
    neurons = 3
    initialisation = 4
    epoch = 5
    robust_initialisation = 6
    robust_epoch = 7
    held_back = 8
    robustness = 9


def seed_for(seed: int, purpose: Purpose, *numbers: int) -> int:
    """Return a seed below 2⁶³ for one purpose, such as one epoch of one mutant."""
    state = np.random.SeedSequence([seed, purpose, *numbers]).generate_state(1, np.uint64)
    return int(state[0] >> 1)


def generator_for(seed: int, purpose: Purpose, *numbers: int) -> torch.Generator:
    """Return a generator on the CPU that starts from ``seed_for``."""
    return torch.Generator().manual_seed(seed_for(seed, purpose, *numbers))


@contextmanager
def drawing_for(seed: int, purpose: Purpose, *numbers: int) -> Iterator[None]:
    """Make torch's own generator start from ``seed_for``, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, purpose, *numbers))
        yield
