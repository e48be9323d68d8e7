"""Secret order in which a request meets the mutants."""

import errno
import fcntl
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import OrderKeyError

KEY_BYTES = 32
# Answers of a file system without hard links (FAT, and many that are mounted over a network).
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES)


class Order:
    """Order of the mutants for an image: ``deck[HMAC(key, pixels) mod D]``.

    The same pixels always meet the mutants in the same order, which nobody knows without the key.
    Decks are made from SHAKE-256 of the key, so they are the same on every replica and under every
    version of NumPy.

    Attributes:
        key: the secret.
        key_id: id of the secret, which does not reveal it.
    """

    def __init__(self, key: bytes, *, pool: int, decks: int, ranks: Sequence[int] = ()) -> None:
        """Prepare the decks of a key.

        Args:
            key: the secret.
            pool: number of mutants.
            decks: number of decks.
            ranks: rank of every mutant; in every deck those of a lower rank come first. Without
                any, all ranks are equal.
        """
        self.key, self._pool, self._decks = key, pool, decks
        self._ranks = np.array(ranks or [0] * pool, dtype=np.int64)
        self.key_id = key_id(key)
        self._mac = hmac.new(key, digestmod="sha256")
        self._deck = lru_cache(maxsize=4096)(self._make_deck)

    def mutants(self, *pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the order of the mutants for an image.

        Args:
            *pixels: uint8 [H, W, C] of each view of the image.

        Returns:
            int64 [pool], mutant numbers 1 to ``pool``.
        """
        return self.of_digest(self.digest(*pixels))

    def digest(self, *pixels: NDArray[np.uint8]) -> bytes:
        """Return the HMAC-SHA256 of an image under the key, bytes [32].

        Args:
            *pixels: uint8 [H, W, C] of each view of the image.
        """
        mac = self._mac.copy()
        for view in pixels:
            mac.update(f"{view.shape}".encode() + view.tobytes())
        return mac.digest()

    def of_digest(self, digest: bytes) -> NDArray[np.int64]:
        """Return the order of the mutants for the image with this digest; see ``mutants``.

        Args:
            digest: digest of the image, from ``digest``.
        """
        return self._deck(int.from_bytes(digest[:8], "big") % self._decks)

    def _make_deck(self, number: int) -> NDArray[np.int64]:
        stream = hashlib.shake_256(b"deck" + number.to_bytes(8, "big") + self.key).digest(8 * self._pool)
        drawn = np.argsort(np.frombuffer(stream, dtype=">u8"), kind="stable").astype(np.int64)
        deck = drawn[np.argsort(self._ranks[drawn], kind="stable")] + 1
        deck.setflags(write=False)
        return deck


class OrderKey:
    """Holder of the secret in use.

    Attributes:
        value: the secret; assigning another one changes the order from the next image on.
    """

    def __init__(self, value: bytes) -> None:
        """Hold a secret.

        Args:
            value: the secret.
        """
        self.value = value

    @property
    def id(self) -> str:
        """Id of the secret, which does not reveal it."""
        return key_id(self.value)


def drawn_key() -> bytes:
    """Draw a new secret, bytes [32]."""
    return secrets.token_bytes(KEY_BYTES)


def key_in_file(path: Path) -> bytes:
    """Read the secret from a file; make a file that is not there, readable by its owner alone.

    Raises:
        OrderKeyError: the file can be neither read nor made, or does not hold 32 bytes in hex.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create(path)
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise OrderKeyError(f"{path} can be neither read nor made ({error.strerror or error})") from error
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise OrderKeyError(f"{path} does not hold 32 bytes in hex; move it away, and a new key is made")
    return key


def key_text(key: bytes) -> bytes:
    """Return the content of the file that holds a secret."""
    return f"{key.hex()}\n".encode("ascii")


def key_id(key: bytes) -> str:
    """Return the id of a secret: 12 hex digits, which do not reveal it."""
    return hashlib.sha256(b"order-key-id" + key).hexdigest()[:12]


def _create(path: Path) -> None:
    if path.exists():
        return
    # Use mode 0600 and a random name: replicas that share the directory may share their process id.
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(key_text(drawn_key()))
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(beside)  # unlike a rename, never replaces a key that another process has just made
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_once(Path(beside), path)
    finally:
        Path(beside).unlink(missing_ok=True)


def _rename_once(beside: Path, path: Path) -> None:
    """Rename a file, unless the name is taken, where the file system has no hard links.

    The directory is locked meanwhile, so that of processes that start at once one makes the key.
    """
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        if not path.exists():
            beside.rename(path)
    finally:
        os.close(directory)
