"""Features of the training images at a cut, computed once for all tails and kept on the disk."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from mutant_guard.bank.session import IMAGES as INPUT
from mutant_guard.bank.session import open_session, run_session
from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.atomic import write_atomically
from mutant_store.retraining.adversarial import shard_name, shards
from mutant_store.retraining.job import ADVERSARIAL_FEATURES, CHOSEN, CLEAN_FEATURES, IMAGES, PREFIX, Job

_BATCH = 32


def allocate_features(job: Job, shape: tuple[int, ...]) -> None:
    """Make room for the features of a job's clean and adversarial images, unless it is there.

    Args:
        job: job of tails.
        shape: shape of a feature of one image.

    Raises:
        DataError: the disk is too full.
    """
    missing = {}
    for name, source in ((CLEAN_FEATURES, IMAGES), (ADVERSARIAL_FEATURES, CHOSEN)):
        if not (job.folder / name).exists():
            missing[name] = (len(np.load(job.folder / source, mmap_mode="r")), *shape)
    needed = sum(2 * int(np.prod(size)) for size in missing.values())
    free = shutil.disk_usage(job.folder).free
    if needed > free:
        raise DataError(
            f"the features of the training images take {needed / 1e9:.1f} GB and {job.folder.parent} has "
            f"{free / 1e9:.1f} GB left: begin the tails at a smaller feature (mutant-store layers lists them) or give "
            "fewer images"
        )
    for name, size in missing.items():
        unfinished = job.folder / f"{name}.unfinished"
        open_memmap(unfinished, mode="w+", dtype=np.float16, shape=size).flush()
        unfinished.replace(job.folder / name)


def feature_parts(job: Job) -> int:
    """Return the number of parts in which features are computed: clean images, then adversarial."""
    return -(-len(np.load(job.folder / IMAGES, mmap_mode="r")) // job.shard) + shards(job)


def make_features(job: Job, number: int, _: Callable[[object], None]) -> None:
    """Compute a part of the features unless that is done; the adversarial images must be there.

    Args:
        job: job of tails.
        number: number of the part.
        _: not used.

    Raises:
        ModelError: a feature is beyond what 16 bits hold.
    """
    done = job.folder / f"features-{number:04}.done"
    if done.exists():
        return
    clean = feature_parts(job) - shards(job)
    if number < clean:
        start = number * job.shard
        images = np.load(job.folder / IMAGES, mmap_mode="r")[start : start + job.shard]
        rows = open_memmap(job.folder / CLEAN_FEATURES, mode="r+")[start : start + job.shard]
    else:
        start = (number - clean) * job.shard
        images = np.load(job.folder / shard_name(number - clean), mmap_mode="r")
        rows = open_memmap(job.folder / ADVERSARIAL_FEATURES, mode="r+")[start : start + job.shard]
    _compute(job, images, rows)
    write_atomically(done, b"")


def _compute(job: Job, images: NDArray[np.uint8], rows: NDArray[np.float16]) -> None:
    assert job.tail is not None  # noqa: S101 - only jobs of tails have features
    session = open_session(Path(job.folder / PREFIX), threads=1)
    for start in range(0, len(images), _BATCH):
        block = slice(start, start + _BATCH)
        inputs = job.tail.input.tensor(np.ascontiguousarray(images[block].transpose(0, 2, 3, 1)))
        (found,) = run_session(session, INPUT, inputs)
        if not np.abs(found).max() <= np.finfo(np.float16).max:
            raise ModelError(
                "the features of some images are too large for 16 bits: begin the tails at another block"
            )
        rows[block] = found
    if isinstance(rows, np.memmap):
        rows.flush()
