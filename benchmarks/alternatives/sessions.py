"""Mutants as onnxruntime sessions, one each."""

from collections.abc import Callable

import numpy as np

from mutant_guard.bank.session import IMAGES, FloatArray, open_session
from mutant_guard.store.reader import Store
from mutant_store.bank.export import open_mutants


def one_session_each(store: Store, threads: int) -> Callable[[int, FloatArray], FloatArray]:
    """Return a function that scores inputs with one mutant, each mutant a session.

    Args:
        store: store whose mutants are exported as stand-alone classifiers.
        threads: number of threads of every session; none spins when idle.

    Returns:
        Function of a mutant's number (0: the original) and inputs float32 [N, …] that returns
        scores float32 [N, classes].
    """
    mutants = open_mutants(store)
    sessions = [
        open_session(mutants.model(number, original_names=False).SerializeToString(), threads=threads)
        for number in range(store.manifest.mutants + 1)
    ]

    def scores(number: int, inputs: FloatArray) -> FloatArray:
        return np.asarray(sessions[number].run(None, {IMAGES: inputs})[0])

    return scores
