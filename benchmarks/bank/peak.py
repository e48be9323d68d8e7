"""Speed at which the machine multiplies matrices: the bound of everything measured here."""

import numpy as np
import torch

from benchmarks.interleave import Contender

_SIZE = 3072
FLOPS = 2 * _SIZE**3
"""Operations of one product of the matrices that are multiplied, a multiply-add counted as two."""


def matrix_products() -> dict[str, Contender]:
    """Return a large float32 product on all cores, by numpy and by torch: the faster one counts."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((_SIZE, _SIZE)).astype(np.float32) for _ in range(2))
    tensors = torch.from_numpy(left), torch.from_numpy(right)
    return {"peak numpy": lambda: left @ right, "peak torch": lambda: tensors[0] @ tensors[1]}
