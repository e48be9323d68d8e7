"""A call's attempts and pauses, decided here and carried out by a client, with or without asyncio."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import httpx

from mutant_guard.client.errors import (
    ClientError,
    RefusedError,
    TimedOutError,
    UnexpectedAnswerError,
    UnreachableError,
)
from mutant_guard.client.reply import Reply
from mutant_guard.client.retries import RETRIED, Retries


@dataclass(frozen=True)
class Send:
    """Send the request."""

    seconds: float
    """How long the answer may take to be here, whole."""


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


AttemptResult = Reply | httpx.RequestError | TimeoutError | None
"""What came of a step: an answer, or why there is none; None of a pause."""


def attempts(
    url: str, retries: Retries, seconds: float, clock: Callable[[], float]
) -> Generator[Send | Pause, AttemptResult, Reply]:
    """What to do next, told what came of the step before; returns the answer that is a success.

    Args:
        url: whose server it is, for messages.
        retries: when to try again.
        seconds: the call's deadline, from now.
        clock: seconds that only go forward.

    Raises:
        RefusedError: an answer that is an error, and not tried again or not any more.
        UnreachableError: the connection failed as often as it was tried.
        TimedOutError: the deadline passed.
        UnexpectedAnswerError: the answer is compressed in a way that is none.
    """
    began = clock()
    count = 0
    while True:
        elapsed = clock() - began
        if elapsed >= seconds:
            raise _late(url, seconds, count)
        outcome = yield Send(seconds - elapsed)
        count += 1
        if isinstance(outcome, Reply) and 200 <= outcome.status < 300:
            return outcome
        error, again, asked = _judged(url, seconds, count, outcome)
        elapsed = clock() - began
        wait = retries.pause(count, elapsed, asked) if again else None
        if wait is None or elapsed + wait >= seconds:
            raise error from (outcome if isinstance(outcome, Exception) else None)
        yield Pause(wait)


def _judged(
    url: str, seconds: float, count: int, outcome: AttemptResult
) -> tuple[ClientError, bool, float | None]:
    """The error that an outcome is, whether to try again, and the seconds that the server asks to wait."""
    if isinstance(outcome, Reply):
        refusal: RefusedError = outcome.refusal(count)
        return refusal, outcome.status in RETRIED, refusal.retry_after
    if isinstance(outcome, httpx.ConnectTimeout):
        return _unreachable(url, "it took no connection in time", count), True, None
    if isinstance(outcome, httpx.DecodingError):
        return UnexpectedAnswerError(f"what {url} answers cannot be decompressed: {outcome}"), False, None
    if isinstance(outcome, TimeoutError | httpx.TimeoutException):
        return _late(url, seconds, count), False, None
    again = isinstance(outcome, httpx.NetworkError | httpx.RemoteProtocolError | httpx.ProxyError)
    return _unreachable(url, str(outcome) or type(outcome).__name__, count), again, None


def _late(url: str, seconds: float, count: int) -> TimedOutError:
    times = f" ({count} attempts)" if count > 1 else ""
    return TimedOutError(
        f"{url} has not answered within {seconds:g} s{times}; give it more time, or ask less"
    )


def _unreachable(url: str, reason: str, count: int) -> UnreachableError:
    times = f" ({count} attempts)" if count > 1 else ""
    return UnreachableError(f"{url} cannot be reached: {reason}{times}; is the server running there?")
