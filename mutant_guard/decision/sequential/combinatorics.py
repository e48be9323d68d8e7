"""Log factorials, from which the hypergeometric probabilities of a finite pool are made."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=16)
def log_factorials(largest: int) -> NDArray[np.float64]:
    """Return the log of n! for n from 0 to ``largest``, float64 [largest + 1]; read-only."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, largest + 1)))])
    logs.setflags(write=False)
    return logs
