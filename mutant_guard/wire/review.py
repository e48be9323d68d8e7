"""Messages of the routes of the review queue and of the alarm rate."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from mutant_guard.wire.verdict import Explanation, StoreName, UndecidedBecause, Verdict


class ReviewState(StrEnum):
    """State of an entry of the review queue.

    ``open``: no decision yet. ``confirmed``: the alarm was right. ``dismissed``: a false alarm, the
    classifier's label is right.
    """

    OPEN = "open"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Finding(_Model):
    """Findings of the guard on an input that a person should look at."""

    at: AwareDatetime
    """Time at which it was first seen."""
    request_id: str
    """Id of the request that it came with first."""
    store: StoreName
    """Mutant store that judged."""
    label: int
    """Position of the class that the original model chose."""
    class_name: str
    """Name of that class."""
    confidence: float
    """Probability that the original model gives that class."""
    verdict: Verdict
    """Verdict of the guard."""
    undecided_because: UndecidedBecause | None
    """Cause that ended the test undecided; null where it is decided."""
    adversarial: bool
    """Whether the verdict counted as an alarm."""
    mutants: int
    """Number of mutants that the test consumed."""
    decided_by: str | None
    """Evidence that decided: ``confidence``, or the operator of a mutant. Null if undecided."""
    suggested_label: int | None
    """On an alarm: the label that most of the consumed mutants agree on."""
    suggested_class_name: str | None
    """Name of the suggested label's class."""
    suggested_share: float | None
    """Share of the consumed mutants that chose the suggested label."""
    policy: str
    """Policy that judged."""
    sampled: bool
    """Whether it was drawn at random, whatever its verdict (``GUARD_REVIEW_SAMPLE``)."""
    probing: bool = False
    """Whether a campaign of near-identical images was found by it (``GUARD_QUERY_MEMORY``)."""


class ReviewEntry(Finding):
    """Input that waits for a person to look at it, or that a person has looked at."""

    id: str = Field(examples=["1764058800123-0"])
    """Id of the entry; entries are numbered by time, in milliseconds since 1970."""
    state: ReviewState
    """Decision about the entry."""
    has_image: bool
    """Whether the image was kept (``GUARD_REVIEW_IMAGES``)."""
    seen: int
    """Number of times that the same pixels came while the entry was there."""
    reviewed_at: AwareDatetime | None
    """Time of the decision; null while there is none."""
    reviewer: str | None
    """Name of the key that decided; null where no keys are asked for."""
    true_label: int | None
    """Position of the image's true class, as the reviewer gave it; null where it is not known."""
    true_class_name: str | None
    """Name of the true class."""


class ReviewDetails(ReviewEntry):
    """Entry of the review queue with the path of its test."""

    explanation: Explanation
    """Path of the test."""


class ReviewPage(_Model):
    """Page of entries, the newest first."""

    entries: list[ReviewEntry]
    next: str | None
    """Value of ``before`` for the next page; null on the last one."""
    open: int
    """Number of entries that wait for a decision."""


class Decision(_Model):
    """Decision of a reviewer about an entry; a later decision replaces the one before."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["confirm", "dismiss"]
    """``confirm``: the alarm was right.
    ``dismiss``: a false alarm, the classifier's label is right."""
    label: int | None = Field(default=None, ge=0, strict=True)
    """Position of the image's true class, where it is known.
    With ``dismiss`` it is the classifier's."""


class MinuteOfAlarms(_Model):
    """Alarms of one minute."""

    minute: datetime
    """Time at which the minute began."""
    tested: int
    """Number of inputs judged, answers from the cache left out."""
    alarms: int
    """Number of judged inputs that raised an alarm."""


class StoreAlarms(_Model):
    """Recent alarm rate of a store, beside its rate on clean images."""

    store: str
    version: str
    """Version that is served; verdicts of other versions do not count."""
    minutes: int
    """Length of the period, in minutes up to now."""
    tested: int
    """Number of inputs judged in the period, answers from the cache left out."""
    alarms: int
    """Number of judged inputs that raised an alarm."""
    rate: float | None
    """Ratio alarms / tested; null where nothing was judged."""
    baseline: float
    """Share of clean images that raise an alarm, misclassified ones included, from calibration."""
    calibration_images: int
    """Number of images that the baseline was counted on."""
    z: float | None
    """Distance of the rate above the baseline, in standard deviations of their difference.
    Null where nothing was judged, and where the baseline is only the least to be expected:
    GUARD_MAX_MUTANTS ends tests early, and an undecided verdict counts as an alarm."""
    series: list[MinuteOfAlarms]
    """Alarms minute by minute, the oldest first."""


class AlarmRates(_Model):
    """Alarm rates of all stores."""

    stores: list[StoreAlarms]
