"""Attempts and pauses of a call.

They are decided here, and carried out by a client, with or without asyncio.
"""

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
    """Step of a call: send the request."""

    seconds: float
    """Seconds within which the whole answer has to arrive."""


@dataclass(frozen=True)
class Pause:
    """Step of a call: wait for a number of seconds."""

    seconds: float


AttemptResult = Reply | httpx.RequestError | TimeoutError | None
"""Result of a step: an answer, or the error in its place; None for a pause."""


def attempts(
    url: str, retries: Retries, seconds: float, clock: Callable[[], float]
) -> Generator[Send | Pause, AttemptResult, Reply]:
    """Yield the steps of a call, each after the result of the step before is sent in.

    Args:
        url: URL of the server, for messages.
        retries: rules by which the call is tried again.
        seconds: deadline of the call, from now.
        clock: function that returns seconds which only go forward.

    Returns:
        The answer that is a success.

    Raises:
        RefusedError: the answer is an error, and is not tried again or no more.
        UnreachableError: the connection failed as often as it was tried.
        TimedOutError: the deadline passed.
        UnexpectedAnswerError: the answer cannot be decompressed.
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
    """Return the error for a result, whether to try again, and the wait that the server asks for.

    The wait is in seconds; None where the server asks for none.
    """
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
