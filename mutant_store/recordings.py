"""Label changes of clean images: recorded with a bank, kept in a store to calibrate it anew without them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from detection.recording import Recording
from mutant_store.bank_session import BankSession
from mutant_store.errors import StoreError

_IMAGE_BLOCK = 50
_CHANGES, _CORRECT, _POOL = "changes", "correct", "pool"


def record(
    session: BankSession,
    mutants: int,
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    progress: Callable[[int], None],
) -> Recording:
    """Label changes of images under every mutant of a bank.

    Args:
        session: the bank.
        mutants: how many it holds, the original not among them.
        inputs: float32 [images, …], as the classifier takes them.
        labels: int64 [images], the true labels.
        progress: told how many images are done.
    """
    everyone = np.arange(mutants + 1)
    changes = np.empty((len(labels), mutants), dtype=np.bool_)
    correct = np.empty(len(labels), dtype=np.bool_)
    for start in range(0, len(labels), _IMAGE_BLOCK):
        block = slice(start, start + _IMAGE_BLOCK)
        found = session.labels(inputs[block], everyone)
        changes[block], correct[block] = found[:, 1:] != found[:, :1], found[:, 0] == labels[block]
        progress(min(start + _IMAGE_BLOCK, len(labels)))
    return Recording(changes, correct)


def pack(recordings: dict[str, Recording]) -> bytes:
    """Recordings by name as a safetensors file, eight label changes a byte."""
    arrays = {}
    for name, recording in recordings.items():
        arrays[f"{name}.{_CHANGES}"] = np.packbits(recording.changes, axis=1)
        arrays[f"{name}.{_CORRECT}"] = recording.correct.astype(np.uint8)
        arrays[f"{name}.{_POOL}"] = np.array([recording.pool], dtype=np.int64)
    return save(arrays)


def unpack(path: Path) -> dict[str, Recording]:
    """The recordings in a file that :func:`pack` made.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        arrays = load_file(path)
        names = [name.removesuffix(f".{_CHANGES}") for name in arrays if name.endswith(f".{_CHANGES}")]
        return {
            name: Recording(
                np.unpackbits(
                    arrays[f"{name}.{_CHANGES}"], axis=1, count=int(arrays[f"{name}.{_POOL}"][0])
                ).astype(np.bool_),
                arrays[f"{name}.{_CORRECT}"].astype(np.bool_),
            )
            for name in names
        }
    except (SafetensorError, OSError, KeyError, ValueError, IndexError) as error:
        raise StoreError(f"{path} is damaged; build the store again") from error
