"""Check of everything in a published store that needs no data."""

from pathlib import Path
from typing import NamedTuple

from mutant_guard.runtime.engine import noise
from mutant_guard.store.reader import Store, load_store
from mutant_guard.store.signature import PublicKey

_IMAGES = 8


class Check(NamedTuple):
    """Result of a check.

    Attributes:
        store: the version, every file of which is as it was published.
        compared: number of mutants compared with their stand-alone models; None where onnx, which
            makes these, is not installed.
        worst: largest difference of any logit.
    """

    store: Store
    compared: int | None
    worst: float


def check_store(path: Path, mutants: int, *, signed_by: PublicKey | None = None) -> Check:
    """Open a store, run its bank, and compare evenly spread mutants with stand-alone models.

    Opening a store checks the hashes of its files.

    Args:
        path: directory of the store.
        mutants: number of mutants to compare, at most all of them.
        signed_by: key that must have signed the store; by default it need not be signed.

    Raises:
        StoreError: a file is missing or changed, that key did not sign the store, or the bank
            answers otherwise than a mutant does.
    """
    store = load_store(path, signed_by=signed_by)
    session, inputs = store.session(), noise(store, _IMAGES)
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
