"""Where inputs wait for a person to look at them."""

from dataclasses import dataclass
from typing import Protocol

from mutant_guard.wire.review import ReviewState
from service.review.item import Found, Item, Ruling


@dataclass(frozen=True)
class Capacity:
    """How much is kept; the oldest goes first. What was decided has room of its own: no flood of alarms drives it out.

    Attributes:
        entries: most open entries, and most that were decided.
        seconds: how long one is kept.
        image_bytes: most bytes of images; open entries go first. A single one of more is not kept.
    """

    entries: int
    seconds: float
    image_bytes: int

    def kept(self, image: bytes | None) -> bytes | None:
        """An image if there is room for it at all."""
        return image if image is not None and len(image) <= self.image_bytes else None


@dataclass(frozen=True)
class Wanted:
    """Which entries to list.

    Attributes:
        state: only these; None: all.
        store: only those of this store; None: of all.
        before: only those older than the one of this id.
        limit: so many at most.
    """

    state: ReviewState | None = None
    store: str | None = None
    before: str | None = None
    limit: int = 50

    def has(self, item: Item) -> bool:
        """Whether an entry is one of them, wherever it stands."""
        return self.state in (None, item.state) and self.store in (None, item.found.store.name)


class ReviewQueue(Protocol):
    """Entries by id. One implementation may raise ``RedisDownError`` anywhere."""

    async def add(self, key: str, found: Found, image: bytes | None, count: int = 1) -> bool:
        """Queue an input that came so often. Returns whether it is new.

        ``key`` is that of its pixels: the same again is counted, not queued.
        """

    async def newest(self, wanted: Wanted) -> list[Item]:
        """The newest of these, the newest first."""

    async def get(self, identifier: str) -> Item | None:
        """One entry; None if it is not there (any more)."""

    async def image(self, identifier: str) -> bytes | None:
        """The image of an entry, a PNG; None where none was kept."""

    async def rule(self, identifier: str, ruling: Ruling) -> Item | None:
        """Decide about an entry, in place of what was decided; None if it is not there (any more)."""

    async def remove(self, identifier: str) -> bool:
        """Let go of an entry and its image, for good. Returns whether it was there."""

    async def waiting(self) -> int:
        """How many entries are open."""
