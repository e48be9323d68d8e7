"""What the review queue keeps of an input."""

from dataclasses import dataclass
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from mutant_guard.wire.review import Finding, ReviewDetails, ReviewEntry, ReviewState
from mutant_guard.wire.verdict import Explanation


class Found(Finding):
    """What does not change: what the guard found, and how its test went."""

    explanation: Explanation


class Ruling(BaseModel):
    """What a reviewer decided."""

    model_config = ConfigDict(frozen=True)

    state: ReviewState
    at: AwareDatetime
    reviewer: str | None
    true_label: int | None
    true_class_name: str | None


@dataclass(frozen=True)
class Item:
    """An entry of the queue.

    Attributes:
        id: milliseconds since 1970, and a number among those of the same one.
        found: what was found.
        ruling: what was decided, None as long as it is open.
        seen: how often the same pixels came.
        has_image: whether their image was kept.
    """

    id: str
    found: Found
    ruling: Ruling | None
    seen: int
    has_image: bool

    @property
    def state(self) -> ReviewState:
        """What has been decided."""
        return ReviewState.OPEN if self.ruling is None else self.ruling.state

    def entry(self) -> ReviewEntry:
        """As lists show it."""
        return ReviewEntry(**self.found.model_dump(exclude={"explanation"}), **self._rest())

    def details(self) -> ReviewDetails:
        """With the path of the test."""
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
    """Where an entry of this id stands among the others; None where it is no id."""
    milliseconds, _, number = identifier.partition("-")
    if not (
        milliseconds.isdecimal() and number.isdecimal() and len(identifier) <= 40 and identifier.isascii()
    ):
        return None
    return int(milliseconds), int(number)
