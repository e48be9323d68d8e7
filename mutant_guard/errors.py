"""What can go wrong with a user's model, data, images or store, and why a request gets no verdict.

Messages name the thing and the remedy.
"""

from typing import Self


class GuardError(Exception):
    """Base of every error that is the caller's to mend; commands print it without a traceback."""


class ModelError(GuardError):
    """The ONNX file cannot be guarded: it is no classifier, or has a node that cannot be mutated."""


class DataError(GuardError):
    """A data SPEC that cannot be read, or that holds too little for what it is asked for."""


class ImageError(GuardError):
    """An image that cannot be turned into the model's input without guessing."""


class StoreError(GuardError):
    """A mutant store that is missing, incomplete, damaged or of a schema this release does not read."""


class DeviceError(GuardError):
    """The device asked for is not there."""


class OrderKeyError(GuardError):
    """The file of the order key can be neither read nor made, or holds no key."""


class RequestError(GuardError):
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
