"""Ring of the API keys that a server knows, which follows the file."""

import hmac
import threading
import time
from pathlib import Path

import structlog

from mutant_guard.errors import NotReadyError
from service.keys.api_keys import ApiKey, KeyFile, KeyFileError, Role, content_of, digest_of

_LOOK_AGAIN_SECONDS = 1.0


class KeyRing:
    """API keys that a server knows.

    When a request or a scrape needs them the file is read, at most once a second. While it cannot
    be read, or is no file of API keys, the keys stay as they were for a time of grace. After that no
    key is taken: one that was revoked meanwhile would be let in for good.
    """

    def __init__(self, path: Path | None, *, grace_seconds: float = 300.0) -> None:
        """Read the file of API keys.

        Args:
            path: the file; without one (None) everybody may classify and nobody is an admin.
            grace_seconds: seconds that the keys stay as they were while the file cannot be read.

        Raises:
            KeyFileError: the file cannot be read or is no file of API keys.
        """
        self._path, self._grace = path, grace_seconds
        self._keys: list[tuple[bytes, ApiKey]] = []
        self._content: bytes | None = None
        self._refused: tuple[bytes, str] | None = None
        self._fault: str | None = None
        self._lock = threading.Lock()
        self._looked = self._read_at = time.monotonic()
        if path is not None:
            self._read(path)

    @property
    def open(self) -> bool:
        """Whether no file is configured, so that classifying takes no key."""
        return self._path is None

    @property
    def has_admin(self) -> bool:
        """Whether any key opens the admin routes.

        Raises:
            NotReadyError: the file could not be read for longer than the time of grace.
        """
        self._refuse_when_stale()
        return any(key.role == Role.ADMIN for _, key in self._keys)

    @property
    def stale_seconds(self) -> float:
        """Seconds since the file could last be read, 0 where it can be read now."""
        self._look_again()
        return 0.0 if self._fault is None else time.monotonic() - self._read_at

    @property
    def stale(self) -> bool:
        """Whether the file could not be read for longer than the time of grace: no key is taken."""
        self._look_again()
        return self._fault is not None and time.monotonic() - self._read_at >= self._grace

    def find(self, secret: str) -> ApiKey | None:
        """Return the record of a key, None where the key is not known.

        Every record is compared, each in constant time: the time taken says nothing about which
        record matches, or how nearly.

        Raises:
            NotReadyError: the file could not be read for longer than the time of grace.
        """
        self._refuse_when_stale()
        digest, found = digest_of(secret), None
        for known, key in self._keys:
            if hmac.compare_digest(digest, known):
                found = key
        return found

    def _look_again(self) -> None:
        """Read the file, and log once that it cannot be read."""
        if self._path is None or time.monotonic() - self._looked < _LOOK_AGAIN_SECONDS:
            return
        if not self._lock.acquire(blocking=False):  # another thread, that of the probes, reads it now
            return
        log = structlog.get_logger().bind(file=str(self._path))
        try:
            self._looked = time.monotonic()
            changed = self._read(self._path)
        except KeyFileError as error:
            if str(error) != self._fault:
                log.error(  # noqa: TRY400
                    "API keys stay as they were",
                    reason=str(error),
                    keys=len(self._keys),
                    refused_after_seconds=self._grace,
                )
            self._fault = str(error)
        else:
            if changed or self._fault is not None:
                log.info("API keys read", keys=len(self._keys))
            self._fault = None
        finally:
            self._lock.release()

    def _read(self, path: Path) -> bool:
        """Take the keys in the file, and return whether it changed since they were last taken."""
        content = content_of(path)
        if self._refused is not None and content == self._refused[0]:
            raise KeyFileError(self._refused[1])
        if changed := content != self._content:
            try:
                file = KeyFile.parse(path, content)
            except KeyFileError as error:
                self._refused = content, str(error)
                raise
            self._keys = [(bytes.fromhex(key.sha256), key) for key in file.keys]
            self._content = content
        self._read_at = time.monotonic()
        return changed

    def _refuse_when_stale(self) -> None:
        if self.stale:
            raise NotReadyError("the server cannot read its API keys, and takes none; its log says why")
