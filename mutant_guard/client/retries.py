"""How often a call is tried, and how long is waited in between."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)

RETRIED = frozenset({429, 503})
"""Answers that say: not now. Every route gives the same for the same request, so that any may be sent again."""


def retry_after(text: str | None, now: datetime) -> float | None:
    """What a Retry-After header asks for, in seconds from ``now`` (aware): a number of them, or a date (RFC 9110).

    None without a header or with one that is neither; infinite where the number is too large for a float; 0 for a date
    that is past.
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
    """When a call is tried again: after 429, 503, and connections that fail or break.

    The pause is drawn between 0 and ``first_pause`` seconds, then twice that and so on up to ``longest_pause`` (full
    jitter, so that callers who were turned away together do not come back together). Retry-After is waited for, with
    up to ``first_pause`` on top. No pause ends more than ``seconds`` after the call began, nor past its deadline: where
    one would, the call fails at once.
    """

    attempts: int = 5
    """In all; 1: never again."""
    seconds: float = 30.0
    first_pause: float = 0.1
    longest_pause: float = 5.0
    draw: Callable[[], float] = random.random
    """A number from 0 to 1."""

    def __post_init__(self) -> None:
        """Raises: ValueError, a number that makes no sense."""
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}; a call takes at least one")
        for name in ("seconds", "first_pause", "longest_pause"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}; give seconds, 0 or more")

    def pause(self, attempts: int, elapsed: float, asked: float | None) -> float | None:
        """Seconds to wait before the next attempt, None where there is to be none.

        Args:
            attempts: how many there were, at least one.
            elapsed: seconds since the call began.
            asked: seconds that Retry-After asks for.
        """
        if attempts >= self.attempts:
            return None
        if asked is None:
            # Doubled in floating point, which gives infinity and no giant number for many attempts.
            wait = self.draw() * min(self.longest_pause, self.first_pause * 2.0 ** min(attempts - 1, 60))
        else:
            wait = asked + self.draw() * self.first_pause
        return wait if elapsed + wait <= self.seconds else None


NEVER = Retries(attempts=1)
"""For what asks how things are now."""
