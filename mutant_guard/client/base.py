"""What both clients have: where the server is, and how a request is made of a call."""

from collections.abc import Callable, Generator
from importlib.metadata import version
from math import isfinite
from typing import Any

import httpx

from mutant_guard.client.attempts import AttemptResult, Pause, Send, attempts
from mutant_guard.client.calls import TIMEOUT_HEADER, Call
from mutant_guard.client.reply import Reply
from mutant_guard.client.retries import Retries
from mutant_guard.client.server import find_key, find_url

SECONDS = 60.0
CONCURRENCY = 8

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30.0)
"""As many connections as calls are made at once: who makes them bounds them."""

_CONNECT_SECONDS = 5.0
"""Most for a connection, so that a server that is gone is tried again and not waited for."""
_MARGIN, _MOST_MARGIN = 0.1, 0.1
"""Of the time left, and in seconds: the server is told of so much less."""


class BaseClient:
    """Not to be used itself."""

    def __init__(
        self,
        url: str | None,
        key: str | None,
        timeout: float,
        retries: Retries | None,
        clock: Callable[[], float],
    ) -> None:
        """Args: as of the clients. Raises: ClientSettingsError, ValueError."""
        self._url = find_url(url)
        self._timeout = checked_timeout(timeout)
        self._retries = Retries() if retries is None else retries
        self._clock = clock
        self._headers = httpx.Headers({"User-Agent": f"mutant-guard/{version('mutant-guard')}"})
        if found := find_key(key):
            # These headers show no value of this one.
            self._headers["Authorization"] = f"Bearer {found}"

    @property
    def url(self) -> str:
        """Of the server, without a slash at its end."""
        return self._url

    def __repr__(self) -> str:
        """Without the key."""
        return f"{type(self).__name__}({self._url!r})"

    def _steps(
        self, call: Call[Any], retries: Retries | None
    ) -> Generator[Send | Pause, AttemptResult, Reply]:
        seconds = self._timeout if call.timeout is None else checked_timeout(call.timeout)
        return attempts(self._url, self._retries if retries is None else retries, seconds, self._clock)

    def _request(
        self, http: httpx.Client | httpx.AsyncClient, call: Call[Any], seconds: float
    ) -> httpx.Request:
        """The request of a call that has so many seconds left."""
        headers = dict(call.headers)
        if call.tells_timeout and call.timeout is not None:
            headers[TIMEOUT_HEADER] = f"{1000 * seconds_told(seconds):.3f}"
        return http.build_request(
            call.method,
            self._url + call.path,
            params=call.params or None,
            headers=headers,
            content=call.content,
            timeout=httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)),
        )


def seconds_told(left: float) -> float:
    """How long the server is told that it has, of the seconds that are left: what it says has to arrive as well."""
    return left - min(left * _MARGIN, _MOST_MARGIN)


def checked_timeout(seconds: float) -> float:
    """Raises: ValueError, it is no time that anything could take."""
    if not (isfinite(seconds) and seconds > 0):
        raise ValueError(f"timeout is {seconds}; give seconds, more than 0")
    return seconds


def checked_concurrency(concurrency: int) -> int:
    """Raises: ValueError, nothing would ever be sent."""
    if concurrency < 1:
        raise ValueError(f"concurrency is {concurrency}; give at least 1")
    return concurrency
