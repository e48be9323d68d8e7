"""Python client of a mutant-guard server; see docs/client.md.

It imports no part of the server but its models.
"""

from mutant_guard.client.asynchronous import AsyncGuardClient
from mutant_guard.client.blocking import GuardClient
from mutant_guard.client.errors import (
    BadRequestError,
    BusyError,
    ClientError,
    ClientSettingsError,
    DeadlineError,
    KeyRefusedError,
    NotFoundError,
    RefusedError,
    TimedOutError,
    UnexpectedAnswerError,
    UnreachableError,
)
from mutant_guard.client.retries import Retries
from mutant_guard.wire.inference import ModelState
from mutant_guard.wire.review import AlarmRates, ReviewDetails, ReviewEntry, ReviewState
from mutant_guard.wire.verdict import BareClassification, Classification, UndecidedBecause, Verdict

__all__ = [
    "AlarmRates",
    "AsyncGuardClient",
    "BadRequestError",
    "BareClassification",
    "BusyError",
    "Classification",
    "ClientError",
    "ClientSettingsError",
    "DeadlineError",
    "GuardClient",
    "KeyRefusedError",
    "ModelState",
    "NotFoundError",
    "RefusedError",
    "Retries",
    "ReviewDetails",
    "ReviewEntry",
    "ReviewState",
    "TimedOutError",
    "UndecidedBecause",
    "UnexpectedAnswerError",
    "UnreachableError",
    "Verdict",
]
