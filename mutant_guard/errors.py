"""Errors of a user's model, data, images or store, and reasons why a request gets no verdict.

Each message names the faulty thing and the remedy.
"""

import re
from typing import Self

_LONGEST = 400
_OBJECT = re.compile(r"\s*<[^<>]* object at 0x[0-9a-fA-F]+>")


def reason(error: Exception) -> str:
    """Return what an error of a library says, without objects and their addresses."""
    return _OBJECT.sub("", str(error)).strip() or type(error).__name__


def one_line(error: Exception | str) -> str:
    """Return the first line of a message for people, without what a terminal would act on.

    Args:
        error: the message, or an error, whose class stands for an empty message.
    """
    lines = (line.strip() for line in str(error).splitlines())
    line = next(filter(None, lines), type(error).__name__)[:_LONGEST]
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


class GuardError(Exception):
    """Base of every error that the caller can fix; commands print it without a traceback."""


class ModelError(GuardError):
    """Error for an ONNX file that is no classifier, or has a node that cannot be mutated."""


class DataError(GuardError):
    """Error for a data SPEC that cannot be read, or holds too little for its purpose."""


class ImageError(GuardError):
    """Error for an image that cannot be turned into the model's input without guessing."""


class StoreError(GuardError):
    """Error for a mutant store that cannot be read.

    The store is missing, incomplete, damaged, or of a schema that this release does not read.
    """


class DeviceError(GuardError):
    """Error for a requested device that is not there."""


class OrderKeyError(GuardError):
    """Error for a file of the order key that can be neither read nor made, or holds no key."""


class RequestError(GuardError):
    """Base of the errors that refuse a request.

    Attributes:
        code: stable name of the error for programs; the message is for people.
        body_sha256: sha256 of the image in hex; None where the error comes before it is computed.
    """

    code = "error"
    body_sha256: str | None = None


class BadImageError(RequestError):
    """Error for a body that is no image which this model takes."""

    code = "bad-image"


class TooManyPixelsError(BadImageError):
    """Error for an image that declares more pixels than are decoded."""


class QueueFullError(RequestError):
    """Error for a request that comes while the highest number of requests is in flight."""

    code = "queue-full"

    @classmethod
    def of(cls, admitted: int) -> Self:
        """Make the error for a server that has this many requests in flight.

        Args:
            admitted: highest number of requests in flight.
        """
        return cls(f"{admitted} requests are in flight already; try again in a moment")


class DeadlineError(RequestError):
    """Error for a deadline that passes before any mutant is evaluated."""

    code = "deadline"


class NotFiniteError(RequestError):
    """Error for a bare label that would come from scores which are NaN or infinite."""

    code = "not-finite"


class RunFailedError(RequestError):
    """Error for a run of the mutants that failed; the inference loop goes on without its images."""

    code = "run-failed"


class NotReadyError(RequestError):
    """Error for an inference loop that is not running."""

    code = "not-ready"


class UnknownStoreError(RequestError):
    """Error for a store name that is not served."""

    code = "unknown-store"


class GuardRequiredError(RequestError):
    """Error for a request for the bare label where the settings do not allow it."""

    code = "guard-required"
