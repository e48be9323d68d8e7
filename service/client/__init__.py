"""The Python client of a mutant-guard server; see docs/client.md. Imports nothing of the server's but its models."""

from service.client.asynchronous import AsyncGuardClient
from service.client.blocking import GuardClient
from service.client.errors import (
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
from service.client.retries import Retries
from service.inference_protocol.messages import ModelState
from service.review_models import AlarmRates, ReviewDetails, ReviewEntry, ReviewState
from service.verdict import BareClassification, Classification, UndecidedBecause, Verdict

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
