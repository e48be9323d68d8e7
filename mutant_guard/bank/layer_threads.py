"""Choice between threads within the layers of a graph and threads across its rows.

Its imports are light: the server loads it.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mutant_guard.bank.session import CPU, Feed, Model, Providers, open_session, outputs
from mutant_guard.bank.workers import Workers

SLOW = 2e-3
"""Seconds of a row from which on threads within its layers are tried.

Faster ones lose more by waking threads in every layer than they gain.
"""

_MOST_ROUNDS, _LEAST_ROUNDS = 15, 3
_LONGEST = 0.2
"""Seconds after which there are no further rounds."""
_ROWS_EACH = 3
_GAIN = 0.8
"""Largest share of its time alone that a lone row may still take."""
_LOSS = 1.1
"""Largest share of their time that rows in all threads may take."""


def open_rows(
    model: Model,
    *,
    providers: Providers,
    external: Mapping[str, bytes] | None,
    workers: Workers | None,
) -> onnxruntime.InferenceSession:
    """Open the session of a graph that runs rows, see ``open_measured``.

    Args:
        model: the graph.
        providers: execution providers in order of preference.
        external: contents of the files of external data, see ``open_session``.
        workers: threads that rows are shared out among; None measures nothing.

    Raises:
        ModelError: onnxruntime cannot load the graph.
    """
    return open_measured(
        lambda threads: open_session(model, providers=providers, threads=threads, external=external), workers
    )[0]


def open_measured(
    open_with: Callable[[int], onnxruntime.InferenceSession], workers: Workers | None
) -> tuple[onnxruntime.InferenceSession, int]:
    """Open a session with one thread, or with as many as the workers have where that is better.

    A lone row of a large network is then faster. Rows that run side by side share these threads,
    and must take hardly longer. Both are measured on rows of zeros. Fast graphs are left with one
    thread.

    Args:
        open_with: function that opens the graph's session with a number of threads.
        workers: threads that rows are shared out among; None measures nothing.

    Returns:
        The session, and its number of threads.
    """
    narrow = open_with(1)
    if workers is None or workers.threads == 1 or narrow.get_providers()[0] != CPU:
        return narrow, 1
    row = _row(narrow)
    try:
        if row is None or min(_alone(narrow, row), _alone(narrow, row), _alone(narrow, row)) < SLOW:
            return narrow, 1
    except Exception:  # whatever a damaged graph fails with; the self-test of a store says it
        return narrow, 1
    wide = open_with(workers.threads)
    _alone(wide, row)
    alone = _best([partial(_alone, wide, row), partial(_alone, narrow, row)])
    if alone[0] <= _GAIN * alone[1]:
        together = _best([partial(_together, wide, row, workers), partial(_together, narrow, row, workers)])
        if together[0] <= _LOSS * together[1]:
            return wide, workers.threads
    return narrow, 1


def _row(session: onnxruntime.InferenceSession) -> Feed | None:
    """Return zeros for one row of a graph, or None where it leaves the size of a row open."""
    feed: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {}
    for entry in session.get_inputs():
        first, *others = entry.shape or [1]
        if not all(isinstance(size, int) for size in others):
            return None
        shape = [first if isinstance(first, int) else 1, *others]
        whole = entry.type == "tensor(int64)"
        feed[entry.name] = np.zeros(shape, np.int64) if whole else np.zeros(shape, np.float32)
    return feed


def _best(ways: list[Callable[[], float]]) -> list[float]:
    """Return the least seconds of each way, measured in turns: other work only adds to them."""
    until = time.perf_counter() + _LONGEST
    found = [[way() for way in ways]]
    while len(found) < _LEAST_ROUNDS or (len(found) < _MOST_ROUNDS and time.perf_counter() < until):
        found.append([way() for way in ways])
    return [min(own) for own in zip(*found, strict=True)]


def _alone(session: onnxruntime.InferenceSession, row: Feed) -> float:
    """Return the seconds of a row."""
    started = time.perf_counter()
    outputs(session, row)
    return time.perf_counter() - started


def _together(session: onnxruntime.InferenceSession, row: Feed, workers: Workers) -> float:
    """Return the seconds of rows that run in all threads at the same time."""

    def part() -> None:
        for _ in range(_ROWS_EACH):
            outputs(session, row)

    started = time.perf_counter()
    workers.run([part] * workers.threads)
    return time.perf_counter() - started
