"""API keys: which callers may ask, how much they are told, and how fast they may ask.

The file is JSON and holds no key, only the SHA-256 of each. ``mutant-guard keys`` writes it
(``service.keys.key_file``).
"""

import hashlib
import hmac
import re
import secrets
import time
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import Annotated, Self

import structlog
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
_LOOK_AGAIN_SECONDS = 1.0

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
        try:
            content = path.read_bytes()
        except OSError as error:
            raise KeyFileError(
                f"{path} cannot be read ({error.strerror}); it holds the API keys: make it with "
                f"mutant-guard keys create NAME --file {path}, readable to the user the server runs as"
            ) from error
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
    return key, _digest(key).hex()


class KeyRing:
    """API keys that a server knows.

    When a request needs them, the file is checked for changes, at most once a second.
    """

    def __init__(self, path: Path | None) -> None:
        """Read the file of API keys.

        Args:
            path: the file; without one (None) everybody may classify and nobody is an admin.

        Raises:
            KeyFileError: the file cannot be read or is no file of API keys.
        """
        self._path = path
        self._keys: list[tuple[bytes, ApiKey]] = []
        self._looked = time.monotonic()
        self._seen: tuple[int, ...] | None = None
        if path is not None:
            self._seen = _stamp(path)
            self._take(KeyFile.read(path))

    @property
    def open(self) -> bool:
        """Whether no file is configured, so that classifying takes no key."""
        return self._path is None

    @property
    def has_admin(self) -> bool:
        """Whether any key opens the admin routes."""
        self._look_again()
        return any(key.role == Role.ADMIN for _, key in self._keys)

    def find(self, secret: str) -> ApiKey | None:
        """Return the record of a key, None where the key is not known.

        Every record is compared, each in constant time: the time taken says nothing about which
        record matches, or how nearly.
        """
        self._look_again()
        digest, found = _digest(secret), None
        for known, key in self._keys:
            if hmac.compare_digest(digest, known):
                found = key
        return found

    def _look_again(self) -> None:
        """Read the file if it changed.

        Where it became invalid, the keys stay and the log says so once.
        """
        now = time.monotonic()
        if self._path is None or now - self._looked < _LOOK_AGAIN_SECONDS:
            return
        self._looked = now
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        log = structlog.get_logger().bind(file=str(self._path))
        try:
            self._take(KeyFile.read(self._path))
        except KeyFileError as error:
            log.error("API keys stay as they were", reason=str(error), keys=len(self._keys))  # noqa: TRY400
        else:
            log.info("API keys read", keys=len(self._keys))

    def _take(self, file: KeyFile) -> None:
        self._keys = [(bytes.fromhex(key.sha256), key) for key in file.keys]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Return what tells one state of a file from another; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
