"""Comparison of a bank with stand-alone mutants.

Both must give the same logits and labels, up to rounding; otherwise the store must not be used.
"""

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.session import IMAGES, open_session, run_session
from mutant_guard.errors import StoreError
from mutant_store.bank.export import Mutants

TOLERANCE = 1e-3
"""Largest difference of float32 logits that rounding explains, both absolute and relative."""


def spread(mutants: int, count: int) -> list[int]:
    """Return 0, the original, and at most ``count`` numbers of a pool's mutants, evenly spread."""
    return sorted({0, *np.linspace(1, mutants, min(count, mutants), dtype=int).tolist()})


def largest_difference(
    session: BankSession, mutants: Mutants, indices: list[int], inputs: NDArray[np.float32]
) -> float:
    """Compare rows of a bank with stand-alone mutants on the same inputs.

    Args:
        session: the bank.
        mutants: mutants of the same store.
        indices: numbers of the mutants to compare; 0 is the original.
        inputs: images as the classifier reads them, float32 [N, …].

    Returns:
        Largest absolute difference of any logit.

    Raises:
        StoreError: a mutant differs by more than rounding; the message gives its number.
    """
    features = session.features(inputs)
    worst = 0.0
    for index in indices:
        image_index = np.arange(len(inputs), dtype=np.int64)
        rows = session.scores(features, image_index, np.full_like(image_index, index))
        alone = open_session(mutants.model(index, original_names=False).SerializeToString())
        expected = run_session(alone, IMAGES, inputs)[0]
        if rows.shape != expected.shape or not np.allclose(rows, expected, rtol=TOLERANCE, atol=TOLERANCE):
            raise StoreError(
                f"the bank's answer for mutant {index} is not that of the mutant itself; build the store again"
            )
        worst = max(worst, float(np.abs(rows - expected).max()))
    return worst
