"""Review queue of one process, which is lost with it."""

import time
from dataclasses import dataclass

from service.review.item import Found, Item, Ruling, position
from service.review.queue import Capacity, Wanted


@dataclass
class _Entry:
    key: str
    found: Found
    image: bytes | None
    since: float  # seconds of the monotonic clock, which nobody sets
    ruling: Ruling | None = None
    seen: int = 1


class MemoryQueue:
    """Review queue in memory, oldest entry first."""

    def __init__(self, capacity: Capacity) -> None:
        """Make an empty queue.

        Args:
            capacity: how much to keep.
        """
        self._capacity = capacity
        self._entries: dict[str, _Entry] = {}
        self._ids: dict[str, str] = {}
        self._open: dict[str, None] = {}
        self._ruled: dict[str, None] = {}
        self._bytes = 0
        self._last = (0, 0)

    async def add(self, key: str, found: Found, image: bytes | None, count: int = 1) -> bool:
        """Queue an input, or count it if its pixels are known; return whether it is new."""
        self._trim()
        if (known := self._ids.get(key)) is not None:
            self._entries[known].seen += count
            return False
        now = max(int(time.time() * 1000), self._last[0])
        self._last = (now, self._last[1] + 1 if now == self._last[0] else 0)
        identifier = f"{self._last[0]}-{self._last[1]}"
        image = self._capacity.kept(image)
        self._entries[identifier] = _Entry(key, found, image, time.monotonic(), seen=count)
        self._ids[key] = identifier
        self._open[identifier] = None
        self._bytes += len(image or b"")
        self._trim()
        return True

    async def newest(self, wanted: Wanted) -> list[Item]:
        """Return the newest of the wanted entries, the newest first."""
        self._trim()
        before = None if wanted.before is None else position(wanted.before)
        found: list[Item] = []
        for identifier, entry in reversed(self._entries.items()):
            if len(found) == wanted.limit:
                break
            at = position(identifier)
            item = _item(identifier, entry)
            if (before is None or (at is not None and at < before)) and wanted.has(item):
                found.append(item)
        return found

    async def get(self, identifier: str) -> Item | None:
        """Return an entry, None if it is not there."""
        self._trim()
        entry = self._entries.get(identifier)
        return None if entry is None else _item(identifier, entry)

    async def image(self, identifier: str) -> bytes | None:
        """Return the image of an entry as a PNG, None where none was kept."""
        self._trim()
        entry = self._entries.get(identifier)
        return None if entry is None else entry.image

    async def rule(self, identifier: str, ruling: Ruling) -> Item | None:
        """Record a decision about an entry; return the entry, None if it is not there."""
        self._trim()
        entry = self._entries.get(identifier)
        if entry is None:
            return None
        entry.ruling = ruling
        self._open.pop(identifier, None)
        self._ruled.pop(identifier, None)  # moved to the end: entries decided first are dropped first
        self._ruled[identifier] = None
        item = _item(identifier, entry)
        self._trim()
        return item

    async def remove(self, identifier: str) -> bool:
        """Remove an entry and its image; return whether it was there."""
        self._trim()
        if identifier not in self._entries:
            return False
        self._drop(identifier)
        return True

    async def waiting(self) -> int:
        """Return the number of open entries."""
        self._trim()
        return len(self._open)

    def _trim(self) -> None:
        oldest = time.monotonic() - self._capacity.seconds
        while (name := next(iter(self._entries), None)) is not None and self._entries[name].since < oldest:
            self._drop(name)
        for names in (self._open, self._ruled):
            while len(names) > self._capacity.entries:
                self._drop(next(iter(names)))
        while self._bytes > self._capacity.image_bytes:
            self._drop(next(iter(self._open or self._ruled)))

    def _drop(self, identifier: str) -> None:
        entry = self._entries.pop(identifier)
        self._open.pop(identifier, None)
        self._ruled.pop(identifier, None)
        self._bytes -= len(entry.image or b"")
        del self._ids[entry.key]


def _item(identifier: str, entry: _Entry) -> Item:
    return Item(identifier, entry.found, entry.ruling, entry.seen, entry.image is not None)
