"""Number of attempts of a call, and pauses between them."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)

RETRIED = frozenset({429, 503})
"""Statuses of a temporary refusal.

Every route answers the same request in the same way, so any request may be sent again.
"""


def retry_after(text: str | None, now: datetime) -> float | None:
    """Return the seconds from ``now`` that a Retry-After header asks to wait.

    The header holds a number of seconds, or a date (RFC 9110).

    Args:
        text: value of the header; None without one.
        now: the present time, with time zone.

    Returns:
        Seconds; infinite where the number is too large for a float, 0 for a date in the past. None
        without a header, or for a value that is neither number nor date.
    """
    if text is None:
        return None
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now.timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


@dataclass(frozen=True)
class Retries:
    """Rules by which a call is tried again: after 429, 503, and connections that fail or break.

    The pause is drawn between 0 and ``first_pause`` seconds, then twice that and so on up to
    ``longest_pause`` (full jitter, so that callers that were refused together do not come back
    together). A Retry-After is waited for, with up to ``first_pause`` on top. No pause ends more
    than ``seconds`` after the call began, nor past its deadline: where one would, the call fails
    at once.
    """

    attempts: int = 5
    """Most attempts of a call in all; 1 for no second attempt."""
    seconds: float = 30.0
    first_pause: float = 0.1
    longest_pause: float = 5.0
    draw: Callable[[], float] = random.random
    """Function that draws a number from 0 to 1."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: a number is out of its range.
        """
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}; a call takes at least one")
        for name in ("seconds", "first_pause", "longest_pause"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}; give seconds, 0 or more")

    def pause(self, attempts: int, elapsed: float, asked: float | None) -> float | None:
        """Return the seconds to wait before the next attempt, or None for no further attempt.

        Args:
            attempts: number of attempts so far, at least one.
            elapsed: seconds since the call began.
            asked: seconds that Retry-After asks for; None without it.
        """
        if attempts >= self.attempts:
            return None
        if asked is None:
            # Doubling in floating point gives infinity, and no giant number, for many attempts.
            wait = self.draw() * min(self.longest_pause, self.first_pause * 2.0 ** min(attempts - 1, 60))
        else:
            wait = asked + self.draw() * self.first_pause
        return wait if elapsed + wait <= self.seconds else None


NEVER = Retries(attempts=1)
"""Rule of a single attempt, for calls that ask for the present state."""
