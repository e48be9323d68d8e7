"""Request rates of API keys: one token bucket for each key, in this process."""

import time
from dataclasses import dataclass
from typing import Protocol

# Float sums of many small refills may fall this short of a whole token. The part of a token that is
# let pass early is owed afterwards.
_ROUNDING = 1e-9
_LEAST_SWEEP = 64


class Limited(Protocol):
    """What counts of an API key for its rate."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the key in hex."""

    @property
    def requests_per_second(self) -> float | None:
        """Requests a second that the key may keep up; None for any number."""

    @property
    def at_once(self) -> int:
        """Requests that the key may send at once."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    full_at: float


class RateLimit:
    """Limiter that lets a key pass at most burst + rate · t times in any t seconds.

    It is for one thread, that of the event loop.
    """

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self._sweep_above = _LEAST_SWEEP

    def take(self, key: Limited) -> float:
        """Use up one token of a key, if it has one.

        A key whose limit was changed goes on with the tokens it has, at the new rate.

        Returns:
            0.0 where the key may pass, else the seconds until its next token.
        """
        rate = key.requests_per_second
        if rate is None:
            return 0.0
        burst = key.at_once
        now = time.monotonic()
        bucket = self._buckets.get(key.sha256)
        tokens = burst if bucket is None else min(burst, bucket.tokens + (now - bucket.at) * rate)
        if tokens < 1 - _ROUNDING:
            return (1 - tokens) / rate
        self._buckets[key.sha256] = _Bucket(tokens - 1, now, now + (burst - tokens + 1) / rate)
        if len(self._buckets) > self._sweep_above:
            self._sweep(now)
        return 0.0

    def _sweep(self, now: float) -> None:
        """Forget buckets that are full again, which keeps memory bounded.

        A missing bucket counts as full.
        """
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket.full_at > now}
        self._sweep_above = max(_LEAST_SWEEP, 2 * len(self._buckets))
