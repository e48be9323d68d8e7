"""The secret order in which a request meets the mutants."""

import hashlib
import hmac
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


class Order:
    """deck[HMAC(key, pixels) mod D]: the same pixels always meet the same order, nobody without the key knows it.

    Decks are made from SHAKE-256 of the key, so they are the same on every replica and under every version
    of numpy.

    Attributes:
        key: the secret.
        key_id: tells keys apart without giving them away.
    """

    def __init__(self, key: bytes, *, pool: int, decks: int) -> None:
        """Args: the secret, the number of mutants, the number of decks."""
        self.key, self._pool, self._decks = key, pool, decks
        self.key_id = key_id(key)
        self._deck = lru_cache(maxsize=4096)(self._make_deck)

    def mutants(self, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Mutant numbers 1 to ``pool`` in this image's order, int64 [pool], for pixels uint8 [H, W, C]."""
        message = f"{pixels.shape}".encode() + pixels.tobytes()
        drawn = hmac.digest(self.key, message, "sha256")
        return self._deck(int.from_bytes(drawn[:8], "big") % self._decks)

    def _make_deck(self, number: int) -> NDArray[np.int64]:
        stream = hashlib.shake_256(b"deck" + number.to_bytes(8, "big") + self.key).digest(8 * self._pool)
        deck = np.argsort(np.frombuffer(stream, dtype=">u8"), kind="stable").astype(np.int64) + 1
        deck.setflags(write=False)
        return deck


def key_id(key: bytes) -> str:
    """Tells keys apart without giving them away."""
    return hashlib.sha256(b"order-key-id" + key).hexdigest()[:12]
