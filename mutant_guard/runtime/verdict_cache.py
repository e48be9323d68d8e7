"""Cache of verdicts: the same pixels under the same store and policy have the same verdict."""

import time
from collections import OrderedDict
from typing import Protocol


class VerdictCache(Protocol):
    """Cache of judgements, as JSON by key.

    A cache never fails a request: a fault of the cache counts as a miss.
    """

    async def get(self, key: str) -> bytes | None:
        """Return the value under a key, or None."""

    async def put(self, key: str, value: bytes) -> None:
        """Keep a value for the cache's time to live."""


class MemoryCache:
    """Cache in the memory of one process, which drops the least recently used entries."""

    def __init__(self, *, seconds: float, entries: int) -> None:
        """Make an empty cache.

        Args:
            seconds: time to live of an entry.
            entries: most entries to keep.
        """
        self._seconds, self._entries = seconds, entries
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """Return the value under a key, or None if it is missing or its time has passed."""
        found = self._kept.get(key)
        if found is None or found[0] < time.monotonic():
            self._kept.pop(key, None)
            return None
        self._kept.move_to_end(key)
        return found[1]

    async def put(self, key: str, value: bytes) -> None:
        """Keep a value, and drop the least recently used entries above the limit."""
        self._kept[key] = (time.monotonic() + self._seconds, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._entries:
            self._kept.popitem(last=False)
