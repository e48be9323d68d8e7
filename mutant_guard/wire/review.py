"""What the routes of the review queue and of the alarm rate say and are told."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from mutant_guard.wire.verdict import Explanation, StoreName, UndecidedBecause, Verdict


class ReviewState(StrEnum):
    """``confirmed``: the alarm was right. ``dismissed``: a false alarm, the classifier's label is right."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Finding(_Model):
    """What the guard found of an input that a person should look at."""

    at: AwareDatetime
    """When it was first seen."""
    request_id: str
    """Of the request it came with first."""
    store: StoreName
    """The mutant store that judged."""
    label: int
    """Position of the class the original model chose."""
    class_name: str
    """Its name."""
    confidence: float
    """The original model's probability of it."""
    verdict: Verdict
    """What the guard said."""
    undecided_because: UndecidedBecause | None
    """Why it was undecided."""
    adversarial: bool
    """Whether the verdict counted as an alarm."""
    mutants: int
    """Mutants the test consumed."""
    decided_by: str | None
    """What brought the decision."""
    suggested_label: int | None
    """The label most of the mutants consumed agree on, on an alarm."""
    suggested_class_name: str | None
    """Its name."""
    suggested_share: float | None
    """The share of them that chose it."""
    policy: str
    """The policy that judged."""
    sampled: bool
    """Whether it was drawn at random, whatever its verdict (``GUARD_REVIEW_SAMPLE``)."""


class ReviewEntry(Finding):
    """An input that waits for a person to look at it, or that one has looked at."""

    id: str = Field(examples=["1764058800123-0"])
    """Names the entry; entries are numbered by time, in milliseconds since 1970."""
    state: ReviewState
    """What has been decided about it."""
    has_image: bool
    """Whether the image was kept (``GUARD_REVIEW_IMAGES``)."""
    seen: int
    """How often the same pixels came while the entry was there."""
    reviewed_at: AwareDatetime | None
    """When it was decided about."""
    reviewer: str | None
    """Name of the key that decided; null where no keys are asked for."""
    true_label: int | None
    """What the image truly shows, as the reviewer says: null where that is not known."""
    true_class_name: str | None
    """Its name."""


class ReviewDetails(ReviewEntry):
    """The same with the path of the test."""

    explanation: Explanation
    """How the test went."""


class ReviewPage(_Model):
    """Entries, the newest first."""

    entries: list[ReviewEntry]
    next: str | None
    """Pass it as ``before`` for the next page; null on the last one."""
    open: int
    """How many entries wait for a decision."""


class Decision(_Model):
    """What a reviewer decides about an entry. Deciding again replaces what was decided."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["confirm", "dismiss"]
    """``confirm``: the alarm was right. ``dismiss``: a false alarm, the classifier's label is right."""
    label: int | None = Field(default=None, ge=0, strict=True)
    """Position of the class the image truly shows, where that is known. With ``dismiss`` it is the classifier's."""


class MinuteOfAlarms(_Model):
    """One minute."""

    minute: datetime
    """When it began."""
    tested: int
    """Inputs judged, answers from the cache left out."""
    alarms: int
    """How many of these raised an alarm."""


class StoreAlarms(_Model):
    """How often a store raised an alarm of late, and how often it does on clean images."""

    store: str
    version: str
    """The version that is served; verdicts of others do not count."""
    minutes: int
    """The time that is looked back on."""
    tested: int
    """Inputs judged in it, answers from the cache left out."""
    alarms: int
    """How many of these raised an alarm."""
    rate: float | None
    """alarms / tested; null where nothing was judged."""
    baseline: float
    """Share of clean images that raise an alarm, misclassified ones included, from calibration."""
    calibration_images: int
    """Images that the baseline was counted on."""
    z: float | None
    """How far the rate is above the baseline, in standard deviations of their difference; null where nothing was
    judged, and where the baseline is only the least to be expected: GUARD_MAX_MUTANTS ends tests early, and an
    undecided verdict counts as an alarm."""
    series: list[MinuteOfAlarms]
    """Minute by minute, the oldest first."""


class AlarmRates(_Model):
    """Alarm rates of all stores."""

    stores: list[StoreAlarms]
