"""Mutants as eager torch modules, one each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.agreement import check_agreement
from benchmarks.bank import eager
from mutant_guard.bank.pool import unpack
from mutant_guard.bank.session import FloatArray
from mutant_guard.bank.views import Inputs, arrays_of
from mutant_guard.store.reader import MUTANTS, Store
from mutant_store.networks import weights

_CHECKED, _IMAGES = 8, 16


def one_module_each(store: Store, file: Path, threads: int) -> Callable[[int, Inputs], FloatArray]:
    """Return a function that scores inputs with one mutant, each mutant a torch module.

    Args:
        store: store with the mutants.
        file: torch weights that the store's original was exported from.
        threads: number of torch's CPU threads.

    Returns:
        Function of a mutant's number (0: the original) and inputs float32 [N, …] that returns
        scores float32 [N, classes].

    Raises:
        ModelError: the weights are missing or damaged.
        DisagreementError: modules and bank do not compute the same.
    """
    torch.set_num_threads(threads)
    original = weights.load(file).network
    pool = unpack(store.arrays(MUTANTS))
    folded = eager.folded(original)
    modules = [original, *(eager.mutated(original if m.operator == "nai" else folded, m) for m in pool)]
    chosen = np.unique(np.linspace(0, len(pool), _CHECKED, dtype=np.int64)).tolist()
    spec, rng = store.manifest.input, np.random.default_rng(0)
    noise = rng.integers(0, 256, (_IMAGES, spec.height, spec.width, spec.channels), dtype=np.uint8)
    session = store.session()
    check_agreement(session, [modules[number] for number in chosen], chosen, spec.tensor(noise))
    session.close()

    def scores(number: int, inputs: Inputs) -> FloatArray:
        with torch.inference_mode():
            return np.asarray(modules[number](torch.from_numpy(arrays_of(inputs)[0])).numpy())

    return scores
