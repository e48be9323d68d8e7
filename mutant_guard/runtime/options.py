"""Options by which a guard runs its stores."""

from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
OnDeadline = Literal["undecided", "error"]

MAX_PIXELS = 16_777_216
"""Most pixels of an image by default: 16 megapixels."""


@dataclass(frozen=True)
class Options:
    """Everything that changes how images are judged, or how fast; see ``Guard``.

    Attributes:
        policy: name of the policy of the verdict.
        max_mutants: most mutants an image may use; None for as many as the policy needs.
        alarm_on_undecided: whether an undecided verdict counts as an alarm.
        require_signature: file of the public key (PEM, Ed25519) that must have signed each store;
            None for any store.
        device: device that the mutants run on.
        threads: CPU threads of all stores together; 0 for the cores this process may use.
        batch_rows: rows that a run is filled up to while few images are in flight; None to measure
            it.
        max_batch_rows: most rows of a run; None to measure it.
        inline_ms: milliseconds of a run (of 32 images, measured) up to which runs take turns with
            the event loop that ``Guard.start`` was given; 0 for never.
        max_in_flight: most images admitted at the same time.
        deadline_seconds: most seconds an image may take; None for no limit.
        on_deadline: result for an image past its deadline for which some mutants were evaluated:
            the verdict undecided, or a DeadlineError.
        grace_seconds: most seconds that images in flight may take to finish when a store is closed.
        max_pixels: most pixels of an image as it is given.
        decode_threads: number of threads that decode images.

    Raises:
        ValueError: a number is NaN.
    """

    policy: str = "calibrated"
    max_mutants: int | None = None
    alarm_on_undecided: bool = False
    require_signature: Path | None = None
    device: Device = "auto"
    threads: int = 0
    batch_rows: int | None = None
    max_batch_rows: int | None = None
    inline_ms: float = 5.0
    max_in_flight: int = 256
    deadline_seconds: float | None = None
    on_deadline: OnDeadline = "undecided"
    grace_seconds: float = 20.0
    max_pixels: int = MAX_PIXELS
    decode_threads: int = 2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and isnan(value):
                raise ValueError(f"{name} is a number, not NaN")
