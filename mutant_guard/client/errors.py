"""Errors of the client's calls.

Messages name the faulty thing and the remedy. None of them holds the API key.
"""

from collections.abc import Callable
from functools import partial
from typing import Self


class ClientError(Exception):
    """Base of every error of a call, except for image files that cannot be read (``OSError``)."""


class ClientSettingsError(ClientError):
    """Error for a URL that is missing or not valid, or an API key that is not valid."""


class UnreachableError(ClientError):
    """Error for a server that took no connection or dropped it, at every attempt."""


class TimedOutError(ClientError):
    """Error for a time limit that passes before there is an answer."""


class UnexpectedAnswerError(ClientError):
    """Error for a success that cannot be read.

    The answer comes from another program, or from another version of mutant-guard.
    """


class RefusedError(ClientError):
    """Error that the server, or a proxy before it, answered with.

    Attributes:
        status: HTTP status.
        code: stable code of mutant-guard's problem; None where the answer is not its own (a proxy's
            page).
        detail: a sentence for people.
        request_id: name of the request in the server's log; None where the answer does not give it.
        retry_after: seconds that the server asked to wait; None where it did not ask.
        attempts: number of attempts.
    """

    def __init__(
        self,
        *,
        status: int,
        code: str | None,
        detail: str,
        request_id: str | None = None,
        retry_after: float | None = None,
        attempts: int = 1,
    ) -> None:
        """Make the error.

        Args:
            status: HTTP status.
            code: stable code of mutant-guard's problem; None where the answer is not its own.
            detail: a sentence for people.
            request_id: name of the request in the server's log.
            retry_after: seconds that the server asked to wait.
            attempts: number of attempts.
        """
        times = f" ({attempts} attempts)" if attempts > 1 else ""
        super().__init__(f"{status}{f' {code}' if code else ''}: {detail}{times}")
        self.status, self.code, self.detail = status, code, detail
        self.request_id, self.retry_after, self.attempts = request_id, retry_after, attempts

    def __reduce__(self) -> tuple[Callable[[], Self], tuple[()]]:
        """Support pickling, for pools of processes.

        An exception is unpickled by its positional arguments, and this one has none.
        """
        names = ("status", "code", "detail", "request_id", "retry_after", "attempts")
        return partial(type(self), **{name: getattr(self, name) for name in names}), ()


class BadRequestError(RefusedError):
    """Error for a request that is never answered (400, 413, 415, 422).

    It holds no image, is too large, or has an unknown parameter.
    """


class KeyRefusedError(RefusedError):
    """Error for an API key that is missing, unknown, or not allowed to do this (401, 403)."""


class NotFoundError(RefusedError):
    """Error for a store, entry or image that is not there (404)."""


class BusyError(RefusedError):
    """Error for a server that cannot take the request now (429, 503).

    The highest number of requests is in flight, or the key is over its rate (429); or the server is
    not ready (503).
    """


class DeadlineError(RefusedError):
    """Error for a deadline that passes before the server has any evidence (504)."""


_KINDS: dict[int, type[RefusedError]] = {
    400: BadRequestError,
    401: KeyRefusedError,
    403: KeyRefusedError,
    404: NotFoundError,
    413: BadRequestError,
    415: BadRequestError,
    422: BadRequestError,
    429: BusyError,
    503: BusyError,
    504: DeadlineError,
}


def kind_of(status: int) -> type[RefusedError]:
    """Return the error class of an HTTP status; ``RefusedError`` where none is its own."""
    return _KINDS.get(status, RefusedError)
