"""API keys: which callers may ask, how much they are told, and how fast they may ask.

The file is JSON and holds no key, only the SHA-256 of each. ``mutant-guard keys`` writes it
(``service.keys.key_file``).
"""

import hashlib
import os
import re
import secrets
import stat
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from mutant_guard.errors import GuardError

_PREFIX = "mg_"  # lets scanners for leaked secrets recognise a key
_RANDOM_BYTES = 32
_MOST_BYTES = 16 * 2**20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class KeyFileError(GuardError):
    """The file of API keys is missing, cannot be read, or is no file of API keys."""


class Role(StrEnum):
    """Role of an API key.

    ``client`` may classify; ``reviewer`` may classify and decide about the review queue; ``admin``
    may change what is served and review, and may not classify.
    """

    CLIENT = "client"
    REVIEWER = "reviewer"
    ADMIN = "admin"


class Detail(StrEnum):
    """Detail of answers: ``full``, or ``verdict`` without scores and the path of the test."""

    FULL = "full"
    VERDICT = "verdict"


class ApiKey(BaseModel):
    """Record of an API key: everything but the key itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Name of the key's owner, used in logs.
    1 to 64 letters, digits, dots, dashes and underscores."""
    # The keys are 256 random bits made here, not passwords. Nobody can try them all, so a slow or
    # salted hash would cost every request time and add nothing.
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the key in hex."""
    role: Role = Role.CLIENT
    """Role of the key."""
    response_detail: Detail = Detail.FULL
    """Detail of the answers to this key."""
    requests_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Requests a second that the key may keep up; unset: any number."""
    burst: Annotated[int, Field(ge=1)] | None = None
    """Requests that the key may send at once; unset: one second's worth, at least one."""
    created: AwareDatetime
    """Time the key was made."""

    @property
    def at_once(self) -> int:
        """Requests that the key may send at once, where it has a rate."""
        return self.burst or max(1, ceil(self.requests_per_second or 0))

    @field_validator("name")
    @classmethod
    def _goes_on_one_line(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                "a name is 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first"
            )
        return name

    @model_validator(mode="after")
    def _a_burst_has_a_rate(self) -> Self:
        if self.burst is not None and self.requests_per_second is None:
            raise ValueError("burst limits nothing without requests_per_second")
        return self


class KeyFile(BaseModel):
    """Content of the file of API keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...]

    @model_validator(mode="after")
    def _every_key_is_there_once(self) -> Self:
        for what, found in (
            ("name", [key.name for key in self.keys]),
            ("sha256", [key.sha256 for key in self.keys]),
        ):
            if len(set(found)) < len(found):
                raise ValueError(f"two keys have the same {what}")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the keys in a file.

        Raises:
            KeyFileError: the file cannot be read or is no file of API keys; the message names it
                and the remedy.
        """
        return cls.parse(path, content_of(path))

    @classmethod
    def parse(cls, path: Path, content: bytes) -> Self:
        """Return the keys in a file's content.

        Raises:
            KeyFileError: it is not that of a file of API keys; the message names the file and the
                remedy.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise KeyFileError(
                f"{path} is no file of API keys ({first_fault(error)}); mend it, or move it away and make keys anew "
                f"with mutant-guard keys create NAME --file {path}"
            ) from error


def first_fault(error: ValidationError) -> str:
    """Describe the first fault and its place in one sentence.

    The sentence does not repeat the given value, which may be secret.
    """
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return (f"{where}: " if where else "") + first["msg"].removeprefix("Value error, ")


def make_key() -> tuple[str, str]:
    """Return a new key and its SHA-256 in hex, which is all that is kept of it."""
    key = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    return key, digest_of(key).hex()


def content_of(path: Path) -> bytes:
    """Return the bytes of a file of API keys, which must be a regular file of bounded size.

    A pipe in its place does not hold the server.

    Raises:
        KeyFileError: the file cannot be read; the message names it and the remedy.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise OSError("it is no regular file")
            with os.fdopen(handle, "rb", closefd=False) as file:
                content = file.read(min(found.st_size, _MOST_BYTES) + 1)
            if len(content) > _MOST_BYTES:
                raise OSError("it is larger than 16 MiB")
        finally:
            os.close(handle)
    except OSError as error:
        raise KeyFileError(
            f"{path} cannot be read ({error.strerror or error}); it holds the API keys: make it with "
            f"mutant-guard keys create NAME --file {path}, readable to the user the server runs as"
        ) from error
    return content


def digest_of(secret: str) -> bytes:
    """Return the SHA-256 of a key, which is all that is kept of it."""
    return hashlib.sha256(secret.encode()).digest()
