"""Comparison of a bank with stand-alone mutants.

Both must give the same logits and labels, up to rounding; otherwise the store must not be used.
"""

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.memory import even_blocks
from mutant_guard.bank.session import IMAGES, open_session, outputs, run_session
from mutant_guard.bank.views import Images, Inputs, arrays_of, view_name
from mutant_guard.errors import StoreError
from mutant_guard.store.choices import OutputKind
from mutant_store.bank.export import Mutants
from mutant_store.graph.classifier import LOGITS
from mutant_store.graph.original import check_same

TOLERANCE = 1e-3
"""Largest difference of float32 logits that rounding explains, both absolute and relative."""

_TOGETHER = 64


def spread(mutants: int, count: int) -> list[int]:
    """Return 0, the original, and at most ``count`` numbers of a pool's mutants, evenly spread."""
    return sorted({0, *np.linspace(1, mutants, min(count, mutants), dtype=int).tolist()})


def largest_difference(session: BankSession, mutants: Mutants, indices: list[int], images: Inputs) -> float:
    """Compare rows of a bank with stand-alone mutants on the same inputs.

    Args:
        session: the bank.
        mutants: mutants of the same store.
        indices: numbers of the mutants to compare; 0 is the original.
        images: N images as the networks of the bank read them.

    Returns:
        Largest absolute difference of any logit.

    Raises:
        StoreError: a mutant differs by more than rounding; the message gives its number.
    """
    features, views = session.features(images), arrays_of(images)
    inputs = views[0]
    worst = 0.0
    for index in indices:
        image_index = np.arange(len(inputs), dtype=np.int64)
        rows = session.scores(features, image_index, np.full_like(image_index, index))
        if companion := mutants.companions.get(index):
            alone = open_session(companion.model.SerializeToString())
            feed = {view_name(companion.view): views[companion.view], LOGITS: features[-1]}
            expected = outputs(alone, {entry.name: feed[entry.name] for entry in alone.get_inputs()})[0]
        else:
            alone = open_session(mutants.model(index, original_names=False).SerializeToString())
            expected = run_session(alone, IMAGES, inputs)[0]
        if rows.shape != expected.shape or not np.allclose(rows, expected, rtol=TOLERANCE, atol=TOLERANCE):
            raise StoreError(
                f"the bank's answer for mutant {index} is not that of the mutant itself; build the store again"
            )
        worst = max(worst, float(np.abs(rows - expected).max()))
    return worst


def check_original(
    session: BankSession, inputs: Images, expected: NDArray[np.float32], kind: OutputKind
) -> None:
    """Compare mutant 0 of a bank with the classifier as it was given.

    Args:
        session: the bank.
        inputs: N images, of which an index gives what the bank reads.
        expected: float32 [N, classes], scores of the classifier as it was given.
        kind: kind of the scores.

    Raises:
        ModelError: scores or labels differ by more than rounding.
    """
    for block in even_blocks(len(inputs), session.images_together(_TOGETHER)):
        found = session.features(inputs[block])[-1]
        check_same(expected[block], found, kind, "mutant 0 of the bank")
