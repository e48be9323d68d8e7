"""Mutants as onnxruntime sessions, one each."""

from collections.abc import Callable

import numpy as np

from mutant_guard.bank.session import IMAGES, FloatArray, open_session
from mutant_guard.store.reader import Store
from mutant_store.bank.export import open_mutants


def one_session_each(store: Store, threads: int) -> Callable[[int, FloatArray], FloatArray]:
    """Scores float32 [N, classes] of a mutant (0: the original) on inputs float32 [N, …].

    Args:
        store: whose mutants are exported as stand-alone classifiers.
        threads: of every session; none spins when idle.
    """
    mutants = open_mutants(store)
    sessions = [
        open_session(mutants.model(number, original_names=False).SerializeToString(), threads=threads)
        for number in range(store.manifest.mutants + 1)
    ]

    def scores(number: int, inputs: FloatArray) -> FloatArray:
        return np.asarray(sessions[number].run(None, {IMAGES: inputs})[0])

    return scores
