"""Time spent on the steps of an experiment, over all the runs it took."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mutant_guard.store.atomic import write_atomically

BUILD = "build"
"""Step of the build of a store."""
_SECONDS = "seconds.json"


class Clock:
    """Seconds by step; a run that goes on where another stopped adds to its finished seconds."""

    def __init__(self, path: Path) -> None:
        """Read the seconds of earlier runs from the file that keeps them."""
        self._path = path
        self.seconds = _read(path)

    @contextmanager
    def measured(self, step: str) -> Iterator[None]:
        """Add the time of the block to a step, however the block ends."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = round(self.seconds.get(step, 0.0) + time.perf_counter() - started, 1)
            write_atomically(self._path, json.dumps(self.seconds).encode())


def build_clock(store: Path) -> Clock:
    """Return the clock of the build of a store, whose file lies beside the store's directory."""
    place = store.resolve()
    return Clock(place.with_name(f"{place.name}.{_SECONDS}"))


def build_seconds(store: Path) -> float | None:
    """Return the time it took to build a store; None where it was not measured."""
    return build_clock(store).seconds.get(BUILD)


def _read(path: Path) -> dict[str, float]:
    """Return what the file holds; nothing if it is missing or damaged: no result depends on it."""
    try:
        found: dict[str, float] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found
