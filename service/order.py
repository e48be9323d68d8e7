"""The secret order in which a request meets the mutants."""

import hashlib
import hmac
import os
import secrets
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from service.settings import Settings

_KEY_BYTES = 32


class Order:
    """deck[HMAC(key, pixels) mod D]: the same pixels always meet the same order, nobody without the key knows it.

    Decks are made from SHAKE-256 of the key, so they are the same on every replica and under every version
    of numpy.
    """

    def __init__(self, key: bytes, *, pool: int, decks: int) -> None:
        """Args: the secret, the number of mutants, the number of decks."""
        self._key, self._pool, self._decks = key, pool, decks
        self._deck = lru_cache(maxsize=4096)(self._make_deck)

    @property
    def key_id(self) -> str:
        """Tells keys apart without giving them away."""
        return hashlib.sha256(b"order-key-id" + self._key).hexdigest()[:12]

    def mutants(self, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Mutant numbers 1 to ``pool`` in this image's order, int64 [pool], for pixels uint8 [H, W, C]."""
        message = f"{pixels.shape}".encode() + pixels.tobytes()
        drawn = hmac.digest(self._key, message, "sha256")
        return self._deck(int.from_bytes(drawn[:8], "big") % self._decks)

    def _make_deck(self, number: int) -> NDArray[np.int64]:
        stream = hashlib.shake_256(b"deck" + number.to_bytes(8, "big") + self._key).digest(8 * self._pool)
        deck = np.argsort(np.frombuffer(stream, dtype=">u8"), kind="stable").astype(np.int64) + 1
        deck.setflags(write=False)
        return deck


def load_key(settings: Settings) -> bytes:
    """The key from the settings, else from its file, which is made at first start.

    Where the file can be neither read nor made, a key for this process alone is used and a warning logged:
    after a restart the same image may then meet another order.
    """
    if settings.order_key is not None:
        return settings.order_key.get_secret_value().encode()
    path = settings.order_key_file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create(path)
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        if len(key) == _KEY_BYTES:
            return key
        reason = "it does not hold 32 bytes in hex"
    except (OSError, ValueError) as error:
        reason = str(error)
    structlog.get_logger().warning("order key is for this process only", file=str(path), reason=reason)
    return secrets.token_bytes(_KEY_BYTES)


def _create(path: Path) -> None:
    if path.exists():
        return
    # mode 0600, and a name of its own: replicas that share the directory may share their process id as well
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(_KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(beside)  # unlike a rename, never replaces the key another process has just made
    except FileExistsError:
        pass
    finally:
        Path(beside).unlink()
