"""Why a call of the client has no result. Messages name the thing and the remedy; none holds the API key."""

from collections.abc import Callable
from functools import partial
from typing import Self


class ClientError(Exception):
    """Base of everything that a call may fail with, but for image files that cannot be read (``OSError``)."""


class ClientSettingsError(ClientError):
    """No URL or one that is none, or an API key that cannot be one."""


class UnreachableError(ClientError):
    """The server took no connection or dropped it, as often as it was tried."""


class TimedOutError(ClientError):
    """The caller's time was up before there was an answer."""


class UnexpectedAnswerError(ClientError):
    """Something answered that is no mutant-guard, or one of another age: a success that cannot be read."""


class RefusedError(ClientError):
    """The server, or a proxy before it, answered with an error.

    ``status`` is HTTP's. ``code`` is the stable code of mutant-guard's problem, None where the answer is none of its
    own (a proxy's page). ``detail`` is a sentence for people. ``request_id`` is what the server's log calls the
    request, where it said so. ``retry_after`` is how many seconds it asked to wait, where it did. ``attempts`` is how
    often it was tried.
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
        """Args: as the attributes are."""
        times = f" ({attempts} attempts)" if attempts > 1 else ""
        super().__init__(f"{status}{f' {code}' if code else ''}: {detail}{times}")
        self.status, self.code, self.detail = status, code, detail
        self.request_id, self.retry_after, self.attempts = request_id, retry_after, attempts

    def __reduce__(self) -> tuple[Callable[[], Self], tuple[()]]:
        """For pools of processes: an exception is unpickled by its positional arguments, and this one has none."""
        names = ("status", "code", "detail", "request_id", "retry_after", "attempts")
        return partial(type(self), **{name: getattr(self, name) for name in names}), ()


class BadRequestError(RefusedError):
    """What was sent is never answered: no image, too large, an unknown parameter (400, 413, 415, 422)."""


class KeyRefusedError(RefusedError):
    """The API key is lacking, unknown, or not for this (401, 403)."""


class NotFoundError(RefusedError):
    """There is no such store, entry or image (404)."""


class BusyError(RefusedError):
    """As many requests as it admits are in flight, the key is over its rate (429), or it is not ready (503)."""


class DeadlineError(RefusedError):
    """The deadline passed before the server knew anything (504)."""


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
    """The error of an HTTP status; ``RefusedError`` itself for one that has none of its own."""
    return _KINDS.get(status, RefusedError)
