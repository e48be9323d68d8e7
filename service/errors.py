"""Why a request gets no verdict."""

from typing import Self


class RequestError(Exception):
    """Base of what a request can be refused for. ``code`` is stable, the message is for people.

    ``body_sha256`` is that of the image in hex, where it got so far.
    """

    code = "error"
    body_sha256: str | None = None


class BadImageError(RequestError):
    """The body is no image this model takes."""

    code = "bad-image"


class TooManyPixelsError(BadImageError):
    """The image says it holds more pixels than are decoded."""


class QueueFullError(RequestError):
    """As many requests are in flight as are admitted."""

    code = "queue-full"

    @classmethod
    def of(cls, admitted: int) -> Self:
        """Where so many requests are in flight."""
        return cls(f"{admitted} requests are in flight already; try again in a moment")


class DeadlineError(RequestError):
    """The deadline passed before any mutant was evaluated."""

    code = "deadline"


class NotReadyError(RequestError):
    """The inference loop is not running."""

    code = "not-ready"


class UnknownStoreError(RequestError):
    """No store of that name is served."""

    code = "unknown-store"


class GuardRequiredError(RequestError):
    """The bare label was asked for and the settings do not allow it."""

    code = "guard-required"
