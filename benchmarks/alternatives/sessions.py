"""Mutants as onnxruntime sessions, one each."""

from collections.abc import Callable

import numpy as np

from mutant_guard.bank.session import IMAGES, FloatArray, open_session
from mutant_guard.bank.views import Inputs, arrays_of
from mutant_guard.store.reader import Store
from mutant_store.bank.export import open_mutants


def one_session_each(store: Store, threads: int) -> Callable[[int, Inputs], FloatArray]:
    """Return a function that scores inputs with one mutant, each mutant a session.

    Args:
        store: store whose mutants are exported as stand-alone classifiers.
        threads: number of threads of every session; none spins when idle.

    Returns:
        Function of a mutant's number (0: the original) and images as the networks read them that returns
        scores float32 [N, classes].
    """
    mutants = open_mutants(store)
    sessions = [
        open_session(mutants.model(number, original_names=False).SerializeToString(), threads=threads)
        for number in range(store.manifest.mutants + 1)
    ]

    views = [0] * len(sessions)
    for number, companion in mutants.companions.items():
        views[number] = companion.view

    def scores(number: int, inputs: Inputs) -> FloatArray:
        return np.asarray(sessions[number].run(None, {IMAGES: arrays_of(inputs)[views[number]]})[0])

    return scores
