"""Everything that can be checked of a published store without its data."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mutant_guard.store.reader import Store, load_store
from mutant_guard.store.signature import PublicKey

_IMAGES = 8


class Check(NamedTuple):
    """What was checked.

    Attributes:
        store: the version, every file of which is as it was published.
        compared: mutants that were compared with their stand-alone models; None where onnx, which makes these, is not
            installed.
        worst: the largest difference of any logit.
    """

    store: Store
    compared: int | None
    worst: float


def check_store(path: Path, mutants: int, *, signed_by: PublicKey | None = None) -> Check:
    """Open a store (which checks hashes), run its bank, and compare evenly spread mutants with stand-alone models.

    Args:
        path: the store's directory.
        mutants: how many to compare, at most all of them.
        signed_by: the key that must have signed it; by default it need not be signed.

    Raises:
        StoreError: a file is missing or changed, that key did not sign it, or the bank answers otherwise than a
            mutant does.
    """
    store = load_store(path, signed_by=signed_by)
    spec = store.manifest.input
    pixels = np.random.default_rng(0).integers(
        0, 256, (_IMAGES, spec.height, spec.width, spec.channels), np.uint8
    )
    session, inputs = store.session(), spec.tensor(pixels)
    try:
        from mutant_store.bank.export import open_mutants
        from mutant_store.bank.verify import largest_difference, spread
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        session.warm(inputs)
        return Check(store, None, 0.0)
    indices = spread(store.manifest.mutants, mutants)
    worst = largest_difference(session, open_mutants(store), indices, inputs)
    return Check(store, len(indices) - 1, worst)
