"""Check that the alternatives compute the same as the bank, before anything is timed."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.errors import GuardError
from mutant_store.bank.verify import TOLERANCE


class DisagreementError(GuardError):
    """Error for two ways to evaluate a mutant that answer differently."""


def check_agreement(
    session: BankSession, modules: Sequence[nn.Module], numbers: Sequence[int], inputs: NDArray[np.float32]
) -> None:
    """Compare the bank's scores for some mutants with torch's.

    Args:
        session: session of the bank.
        modules: the mutants as torch modules.
        numbers: the mutants' numbers in the bank, one for each module.
        inputs: classifier inputs, float32 [N, …].

    Raises:
        DisagreementError: scores differ by more than rounding, or labels differ where rounding does
            not explain it.
    """
    features = session.features(inputs)
    rows = np.arange(len(inputs), dtype=np.int64)
    for number, module in zip(numbers, modules, strict=True):
        ours = session.scores(features, rows, np.full_like(rows, number))
        with torch.inference_mode():
            theirs = module(torch.from_numpy(inputs)).numpy()
        close = np.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)
        if not close or (_labels_differ(ours, theirs) & _sure(theirs)).any():
            raise DisagreementError(f"bank and torch do not agree on mutant {number}; nothing was timed")


def _labels_differ(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(ours.argmax(axis=1) != theirs.argmax(axis=1))


def _sure(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Check, for each row, whether the best class leads by more than rounding can explain."""
    second, best = np.partition(scores, -2, axis=1)[:, -2:].T
    return np.asarray(best - second > 2 * TOLERANCE * np.maximum(1, np.abs(best)))
