"""Interface of the review queue, where inputs wait for a person to look at them."""

from dataclasses import dataclass
from typing import Protocol

from mutant_guard.wire.review import ReviewState
from service.review.item import Found, Item, Ruling


@dataclass(frozen=True)
class Capacity:
    """Limits of the review queue; the oldest entries go first.

    Decided entries have room of their own, so that no flood of alarms drives them out.

    Attributes:
        entries: most open entries, and also most decided ones.
        seconds: how long an entry is kept, in seconds.
        image_bytes: most bytes of images; open entries go first. A single image of more bytes is
            not kept.
    """

    entries: int
    seconds: float
    image_bytes: int

    def kept(self, image: bytes | None) -> bytes | None:
        """Return an image if there is room for it at all, else None."""
        return image if image is not None and len(image) <= self.image_bytes else None


@dataclass(frozen=True)
class Wanted:
    """Choice of entries to list.

    Attributes:
        state: state of the entries; None: any.
        store: name of their store; None: any.
        before: id that the entries are older than; None: any age.
        limit: most entries to list.
    """

    state: ReviewState | None = None
    store: str | None = None
    before: str | None = None
    limit: int = 50

    def has(self, item: Item) -> bool:
        """Check whether an entry has the wanted state and store, at whatever position."""
        return self.state in (None, item.state) and self.store in (None, item.found.store.name)


class ReviewQueue(Protocol):
    """Entries by id.

    An implementation may raise ``RedisDownError`` from any method.
    """

    async def add(self, key: str, found: Found, image: bytes | None, count: int = 1) -> bool:
        """Queue an input, or count it if an entry with the same pixels is there.

        Args:
            key: key of the input's pixels.
            found: what the guard found.
            image: the image as a PNG, None where it is not to be kept.
            count: number of times that the input came.

        Returns:
            Whether the input is new.
        """

    async def newest(self, wanted: Wanted) -> list[Item]:
        """Return the newest of the wanted entries, the newest first."""

    async def get(self, identifier: str) -> Item | None:
        """Return an entry, None if it is not there (any more)."""

    async def image(self, identifier: str) -> bytes | None:
        """Return the image of an entry as a PNG, None where none was kept."""

    async def rule(self, identifier: str, ruling: Ruling) -> Item | None:
        """Record a decision about an entry, in place of an earlier one.

        Returns:
            The decided entry, None if it is not there (any more).
        """

    async def remove(self, identifier: str) -> bool:
        """Remove an entry and its image for good; return whether it was there."""

    async def waiting(self) -> int:
        """Return the number of open entries."""
