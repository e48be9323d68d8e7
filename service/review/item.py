"""Entries of the review queue as they are kept."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from mutant_guard.wire.review import Finding, ReviewDetails, ReviewEntry, ReviewState
from mutant_guard.wire.verdict import Explanation

_ID = re.compile(r"(0|[1-9][0-9]{0,19})-(0|[1-9][0-9]{0,19})")


class Found(Finding):
    """Unchanging part of an entry: what the guard found, and the path of its test."""

    explanation: Explanation


class Ruling(BaseModel):
    """Decision of a reviewer."""

    model_config = ConfigDict(frozen=True)

    state: ReviewState
    at: AwareDatetime
    reviewer: str | None
    true_label: int | None
    true_class_name: str | None


@dataclass(frozen=True)
class Item:
    """Entry of the review queue.

    Attributes:
        id: milliseconds since 1970, and a number among the entries of the same millisecond.
        found: what the guard found.
        ruling: the reviewer's decision, None as long as the entry is open.
        seen: number of times that the same pixels came.
        has_image: whether the image was kept.
    """

    id: str
    found: Found
    ruling: Ruling | None
    seen: int
    has_image: bool

    @property
    def state(self) -> ReviewState:
        """State of the entry: open, confirmed or dismissed."""
        return ReviewState.OPEN if self.ruling is None else self.ruling.state

    def entry(self) -> ReviewEntry:
        """Return the entry as lists show it."""
        return ReviewEntry(**self.found.model_dump(exclude={"explanation"}), **self._rest())

    def details(self) -> ReviewDetails:
        """Return the entry with the path of its test."""
        return ReviewDetails(**self.found.model_dump(), **self._rest())

    def _rest(self) -> dict[str, Any]:
        ruling = self.ruling
        return {
            "id": self.id,
            "state": self.state,
            "has_image": self.has_image,
            "seen": self.seen,
            "reviewed_at": ruling and ruling.at,
            "reviewer": ruling and ruling.reviewer,
            "true_label": ruling and ruling.true_label,
            "true_class_name": ruling and ruling.true_class_name,
        }


def position(identifier: str) -> tuple[int, int] | None:
    """Return the sort position of an entry's id among the others, None for a text that is no id.

    An id is two numbers of 64 bits, written in one way alone.
    """
    parts = _ID.fullmatch(identifier)
    if parts is None:
        return None
    at = int(parts[1]), int(parts[2])
    return at if max(at) < 1 << 64 else None
