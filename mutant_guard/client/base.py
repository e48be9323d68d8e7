"""Base of both clients: the server's address, and the request of a call."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from math import isfinite
from typing import Any

import httpx

from mutant_guard.client.attempts import AttemptResult, Pause, Send, attempts
from mutant_guard.client.calls import TIMEOUT_HEADER, Call
from mutant_guard.client.errors import ClientSettingsError
from mutant_guard.client.reply import Reply
from mutant_guard.client.retries import Retries
from mutant_guard.client.server import find_key, find_url

SECONDS = 60.0
CONCURRENCY = 8

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30.0)
"""Limits on connections: none on their number, as the caller's concurrency bounds it."""

_CONNECT_SECONDS = 5.0
"""Most seconds for a connection, so that a server that is gone is tried again."""
_MARGIN, _MOST_MARGIN = 0.1, 0.1
"""Reduction of the time that the server is told of: a share of the time left, and most seconds."""


class BaseClient:
    """Base class of the clients; not to be used itself."""

    def __init__(
        self,
        url: str | None,
        key: str | None,
        timeout: float,
        retries: Retries | None,
        clock: Callable[[], float],
    ) -> None:
        """Read the settings of a client.

        Args:
            url: base URL of the server; None for the one of the environment.
            key: API key; None for the one of the environment.
            timeout: seconds that a call may take in all.
            retries: rules by which a call is tried again; None for ``Retries()``.
            clock: function that returns seconds which only go forward.

        Raises:
            ClientSettingsError: the URL or the key is not valid.
            ValueError: the timeout is not a positive number of seconds.
        """
        self._url = find_url(url)
        self._timeout = checked_timeout(timeout)
        self._retries = Retries() if retries is None else retries
        self._clock = clock
        self._headers = httpx.Headers({"User-Agent": f"mutant-guard/{version('mutant-guard')}"})
        if found := find_key(key):
            # The ``repr`` of these headers hides the value of this one.
            self._headers["Authorization"] = f"Bearer {found}"

    @property
    def url(self) -> str:
        """Base URL of the server, without a slash at its end."""
        return self._url

    def __repr__(self) -> str:
        """Return the client's class and URL, without the key."""
        return f"{type(self).__name__}({self._url!r})"

    def _steps(
        self, call: Call[Any], retries: Retries | None
    ) -> Generator[Send | Pause, AttemptResult, Reply]:
        seconds = self._timeout if call.timeout is None else checked_timeout(call.timeout)
        return attempts(self._url, self._retries if retries is None else retries, seconds, self._clock)

    def _request(
        self, http: httpx.Client | httpx.AsyncClient, call: Call[Any], seconds: float
    ) -> httpx.Request:
        """Build the request of a call that has this many seconds left."""
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


@contextmanager
def environment_read() -> Iterator[None]:
    """Raise ClientSettingsError where httpx cannot use what the environment names."""
    try:
        yield
    except ImportError as error:
        raise ClientSettingsError(
            "the environment names a SOCKS proxy (ALL_PROXY, HTTP_PROXY or HTTPS_PROXY), which takes the package "
            "socksio; pip install socksio, or leave trust_env off"
        ) from error
    except (ValueError, OSError, httpx.InvalidURL) as error:
        raise ClientSettingsError(
            f"a proxy or a file of certificates that the environment names cannot be used ({error}); mend HTTP_PROXY, "
            "HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE or SSL_CERT_DIR, or leave trust_env off"
        ) from error


def seconds_told(left: float) -> float:
    """Return the seconds that the server is told of, from the seconds that are left.

    They are fewer, because the answer has to arrive within the time too.
    """
    return left - min(left * _MARGIN, _MOST_MARGIN)


def checked_timeout(seconds: float) -> float:
    """Return the timeout if it is valid.

    Raises:
        ValueError: the timeout is not a positive number of seconds.
    """
    if not (isfinite(seconds) and seconds > 0):
        raise ValueError(f"timeout is {seconds}; give seconds, more than 0")
    return seconds


def checked_concurrency(concurrency: int) -> int:
    """Return the concurrency if it is valid.

    Raises:
        ValueError: the concurrency is less than 1, so that nothing would be sent.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency is {concurrency}; give at least 1")
    return concurrency
