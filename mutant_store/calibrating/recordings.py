"""Recordings of mutants' answers on clean images.

They are recorded with a bank and kept in a store, to calibrate it anew without the images.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.memory import even_blocks
from mutant_guard.bank.views import Images, Inputs
from mutant_guard.decision.calibration.recording import Recording, joined
from mutant_guard.decision.evidence.kinds import (
    NO_LABEL,
    Doubts,
    energies,
    fitted_temperature,
    labels_of,
)
from mutant_guard.errors import ModelError, StoreError
from mutant_guard.store.choices import OutputKind
from mutant_guard.store.reader import RECORDINGS, Store

_IMAGE_BLOCK = 50
_ROWS = 512
_COPIES = 3
"""Copies of the scores of a block that are made while doubts are computed."""
_FEWEST = 10
_BESIDE = 0.5
"""Weight of the original's own doubt beside companions that are all smaller."""
_FITTED_IMAGES, _FITTED_MUTANTS = 500, 32
_CHANGES, _CORRECT, _POOL, _DOUBTS, _OWN = "changes", "correct", "pool", "doubts", "own_doubts"


def record(
    session: BankSession,
    mutants: int,
    inputs: Images,
    labels: NDArray[np.int64],
    progress: Callable[[int], None],
    evidence: Doubts | None = None,
) -> Recording:
    """Record the label changes of images under every mutant, and the mutants' doubts if asked for.

    Args:
        session: the bank.
        mutants: number of mutants in the bank, the original not among them.
        inputs: the images, of which an index gives what the bank reads.
        labels: int64 [images], the true labels.
        progress: called with the number of images that are done.
        evidence: method of computing doubts, whose weights are not applied; None computes none.

    Raises:
        ModelError: the original or a mutant gives scores that are not finite.
    """
    if evidence is not None:
        evidence = replace(evidence, weights=())
    everyone = np.arange(mutants + 1)
    changes = np.empty((len(labels), mutants), dtype=np.bool_)
    correct = np.empty(len(labels), dtype=np.bool_)
    soft = np.empty((len(labels), mutants + 1), dtype=np.int32)
    together = _images_together(session, mutants + 1)
    for start in range(0, len(labels), together):
        block = slice(start, start + together)
        if evidence is None:
            found = _with_labels(session.labels(inputs[block], everyone), everyone)
        else:
            scores = all_scores(session, inputs[block], everyone)
            found = labels_of(scores)
            own, count = found[:, 0], len(found)
            soft[block, 0] = evidence.own(scores[:, 0])
            rows = scores[:, 1:].reshape(count * mutants, -1)
            everyone_else = np.tile(everyone[1:], count)
            original = np.repeat(scores[:, 0], mutants, axis=0)
            found_doubts = evidence.of_mutants(rows, np.repeat(own, mutants), everyone_else, original)
            soft[block, 1:] = found_doubts.reshape(count, mutants)
        changes[block], correct[block] = found[:, 1:] != found[:, :1], found[:, 0] == labels[block]
        progress(min(start + together, len(labels)))
    if evidence is None:
        return Recording(changes, correct)
    return Recording(changes, correct, np.ascontiguousarray(soft[:, 1:]), soft[:, 0].copy())


def record_in_parts(
    load: Callable[[], BankSession],
    executor: Executor,
    parts: int,
    mutants: int,
    inputs: Images,
    labels: NDArray[np.int64],
    progress: Callable[[int], None],
    evidence: Doubts | None = None,
) -> Recording:
    """Record like ``record``, with an executor that records parts of the images at a time.

    Args:
        load: function that loads the bank where a part is recorded.
        executor: executor of the parts, which takes along all that ``load`` holds.
        parts: number of parts, roughly; each has whole blocks of images.
        mutants: see ``record``, as all that follows and the errors.
        inputs: the images.
        labels: int64 [images], the true labels.
        progress: called with the number of images that are done.
        evidence: method of computing doubts.
    """

    def recorded(start: int, stop: int) -> Recording:
        session = load()
        try:
            part = slice(start, stop)
            return record(session, mutants, inputs[part], labels[part], lambda done: None, evidence)
        finally:
            session.close()

    size = _IMAGE_BLOCK * max(1, ceil(len(labels) / parts / _IMAGE_BLOCK))
    cuts = [*range(0, len(labels), size), len(labels)]
    with executor:
        futures = [executor.submit(recorded, *cut) for cut in pairwise(cuts)]
        found = []
        for future, stop in zip(futures, cuts[1:], strict=True):
            found.append(future.result())
            progress(stop)
    return joined(found)


def _images_together(session: BankSession, mutants: int) -> int:
    """Return the number of images whose features, and scores under so many mutants, memory holds."""
    return session.images_together(_IMAGE_BLOCK, more_bytes=_COPIES * 4 * mutants * session.classes)


def all_scores(session: BankSession, inputs: Inputs, mutants: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the scores of every image under every one of some mutants.

    Args:
        session: the bank.
        inputs: the images as the networks of the bank read them.
        mutants: int64 [M], numbers of the mutants; 0 is the original.

    Returns:
        float32 [images, M, classes].

    Raises:
        ModelError: scores are not finite.
    """
    features, count = session.features(inputs), len(inputs)
    block = max(1, _ROWS // count)
    parts = []
    for first in range(0, len(mutants), block):
        chosen = mutants[first : first + block]
        scores = session.scores(features, np.tile(np.arange(count), len(chosen)), np.repeat(chosen, count))
        parts.append(scores.reshape(len(chosen), count, -1))
    scores = np.concatenate(parts).transpose(1, 0, 2)
    _with_labels(labels_of(scores), mutants)
    return scores


def _with_labels(labels: NDArray[np.int64], mutants: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return labels int64 [images, M] of mutants int64 [M].

    Raises:
        ModelError: there is none for an image, as its scores are not finite.
    """
    lost = (labels == NO_LABEL).any(axis=0)
    if lost.any():
        number = int(mutants[lost.argmax()])
        raise ModelError(
            f"{f'mutant {number}' if number else 'the classifier'} gives scores that are not finite (NaN or infinite) "
            "on clean images; leave these images out, or make other mutants (--seed, --rate, --layers)"
        )
    return labels


def fitted_doubts(
    session: BankSession,
    mutants: int,
    inputs: Images,
    labels: NDArray[np.int64],
    *,
    own_weight: float,
    output_kind: OutputKind,
    work: Sequence[float] = (),
    robust: int = 0,
) -> Doubts:
    """Return doubts at the temperatures and with the energy that fit clean images.

    The original has one temperature, each companion and each robust mutant has one, and all other
    mutants together have another.

    Args:
        session: the bank.
        mutants: number of mutants in the bank, the original not among them.
        inputs: the images, of which an index gives what the bank reads; the first 500 are used,
            under 32 mutants spread over the pool.
        labels: int64 [images], the true labels.
        own_weight: number of mutants that the original's own evidence counts as.
        output_kind: kind of the scores.
        work: work of every companion as a multiple of the original's; companions are the mutants
            from number 1 on.
        robust: number of robust mutants, which follow the companions.
    """
    companions, given = len(work), len(work) + robust
    apart, others = np.arange(1, given + 1), np.arange(given + 1, mutants + 1)
    spread = np.linspace(0, len(others) - 1, min(len(others), _FITTED_MUTANTS)).round().astype(np.int64)
    some = np.concatenate([apart, others[spread]])
    truth, asked = labels[:_FITTED_IMAGES], np.concatenate([[0], some])
    blocks = even_blocks(len(truth), _images_together(session, len(asked)))
    scores = np.concatenate([all_scores(session, inputs[block], asked) for block in blocks])

    def fitted(places: NDArray[np.int64]) -> float:
        rows = scores[:, places].reshape(len(truth) * len(places), -1)
        return fitted_temperature(rows, np.repeat(truth, len(places)), output_kind)

    places = np.arange(1, len(some) + 1)
    temperature = fitted(places[given:] if len(others) else places)
    temperatures = np.full(mutants, temperature)
    for number in range(given):
        temperatures[number] = fitted(places[number : number + 1])
    energy = (0.0, 0.0)
    if companions and output_kind == "logits":
        energy = _energy(scores[:, 0], truth)
    return Doubts(
        temperature=temperature,
        own_temperature=fitted(np.array([0])),
        own_weight=own_weight,
        output_kind=output_kind,
        temperatures=tuple(temperatures.tolist()) if given else (),
        companions=companions,
        energy=energy[0],
        energy_spread=energy[1],
        beside=_BESIDE if work and max(work) < 1 else 0.0,
    )


def _energy(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return mean and standard deviation of the energy over rightly labelled images.

    All images count where hardly any is labelled rightly.
    """
    right = scores.argmax(axis=1) == labels
    found = energies(scores[right] if right.sum() >= _FEWEST else scores)
    return float(found.mean()), float(found.std())


def pack(recordings: dict[str, Recording]) -> bytes:
    """Return recordings by name as a safetensors file.

    Eight label changes take a byte, a doubt takes four bytes.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, recording in recordings.items():
        arrays[f"{name}.{_CHANGES}"] = np.packbits(recording.changes, axis=1)
        arrays[f"{name}.{_CORRECT}"] = recording.correct.astype(np.uint8)
        arrays[f"{name}.{_POOL}"] = np.array([recording.pool], dtype=np.int64)
        for field, value in ((_DOUBTS, recording.doubts), (_OWN, recording.own_doubts)):
            if value is not None:
                arrays[f"{name}.{field}"] = value
    return save(arrays)


def unpack(path: Path) -> dict[str, Recording]:
    """Read the recordings, by name, from a file that ``pack`` made.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise StoreError(f"{path} is damaged; build the store again") from error
    return _recordings(arrays, path)


def kept_recordings(store: Store) -> dict[str, Recording]:
    """Return the recordings in a store: ``choice`` and ``certification``.

    Raises:
        StoreError: the file is missing, changed or damaged, or is not about the store's mutants.
    """
    path = store.path / RECORDINGS
    found = _recordings(store.arrays(RECORDINGS), path)
    if not {"choice", "certification"} <= found.keys():
        raise StoreError(f"{path} lacks a part of the recordings; build the store again")
    if any(recording.pool != store.manifest.mutants for recording in found.values()):
        raise StoreError(f"{path} is not about {store.manifest.mutants:,} mutants; build the store again")
    return found


def _recordings(arrays: dict[str, NDArray[Any]], path: Path) -> dict[str, Recording]:
    try:
        names = [name.removesuffix(f".{_CHANGES}") for name in arrays if name.endswith(f".{_CHANGES}")]
        return {
            name: Recording(
                np.unpackbits(
                    arrays[f"{name}.{_CHANGES}"], axis=1, count=int(arrays[f"{name}.{_POOL}"][0])
                ).astype(np.bool_),
                arrays[f"{name}.{_CORRECT}"].astype(np.bool_),
                arrays.get(f"{name}.{_DOUBTS}"),
                arrays.get(f"{name}.{_OWN}"),
            )
            for name in names
        }
    except (KeyError, TypeError, ValueError, IndexError, MemoryError) as error:
        raise StoreError(f"{path} is damaged; build the store again") from error
