"""Everything that can be checked of a published store without its data."""

from pathlib import Path

import numpy as np

from mutant_store.export import open_mutants
from mutant_store.reader import Store, open_store
from mutant_store.signature import PublicKey
from mutant_store.verify import largest_difference, spread

_IMAGES = 8


def check_store(path: Path, mutants: int, *, signed_by: PublicKey | None = None) -> tuple[Store, int, float]:
    """Open a store (which checks hashes) and compare evenly spread mutants with their stand-alone models.

    Args:
        path: the store's directory.
        mutants: how many to compare, at most all of them.
        signed_by: the key that must have signed it; by default it need not be signed.

    Returns:
        The store, how many mutants were compared, and the largest difference of any logit.

    Raises:
        StoreError: a file is missing or changed, that key did not sign it, or the bank answers otherwise than a
            mutant does.
    """
    store = open_store(path, signed_by=signed_by)
    indices = spread(store.manifest.mutants, mutants)
    spec = store.manifest.input
    pixels = np.random.default_rng(0).integers(
        0, 256, (_IMAGES, spec.height, spec.width, spec.channels), np.uint8
    )
    worst = largest_difference(store.session(), open_mutants(store), indices, spec.tensor(pixels))
    return store, len(indices) - 1, worst
