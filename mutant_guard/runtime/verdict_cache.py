"""Verdicts kept for a while: the same pixels under the same store and policy have the same verdict."""

import time
from collections import OrderedDict
from typing import Protocol


class VerdictCache(Protocol):
    """Where judgements are kept, as JSON by key. A cache never fails a request: trouble is a miss."""

    async def get(self, key: str) -> bytes | None:
        """What is kept under a key, or None."""

    async def put(self, key: str, value: bytes) -> None:
        """Keep a value for the cache's time to live."""


class MemoryCache:
    """Least recently used entries of one process."""

    def __init__(self, *, seconds: float, entries: int) -> None:
        """Args: time to live in seconds, and how many entries to keep."""
        self._seconds, self._entries = seconds, entries
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """See ``VerdictCache``."""
        found = self._kept.get(key)
        if found is None or found[0] < time.monotonic():
            self._kept.pop(key, None)
            return None
        self._kept.move_to_end(key)
        return found[1]

    async def put(self, key: str, value: bytes) -> None:
        """See ``VerdictCache``."""
        self._kept[key] = (time.monotonic() + self._seconds, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._entries:
            self._kept.popitem(last=False)
