"""Secret that orders the mutants: where it is kept, and how replicas come to share it."""

import hmac
import time
from pathlib import Path

import structlog

from mutant_guard.errors import OrderKeyError
from mutant_guard.runtime.order import OrderKey, drawn_key, key_in_file, key_text
from mutant_guard.store.atomic import SECRET, write_atomically
from service.settings import Settings

_KEEP_AGAIN_SECONDS = 60.0


class ServerOrderKey(OrderKey):
    """Order key in use. It changes when other replicas are found to have another.

    Attributes:
        fixed: whether the key was set (``GUARD_ORDER_KEY``); a set key stays, whatever other
            replicas have.
    """

    def __init__(self, settings: Settings, given: bytes | None = None) -> None:
        """Take the key from the settings, or else from its file, which is made at the first start.

        Where the file can be neither read nor made, the key is for this start alone and a warning
        is logged: after a restart the same image may then meet another order.

        Args:
            settings: settings of the server.
            given: key of the server's other processes, which stands for the file.
        """
        self._path = settings.order_key_file
        self._kept, self._keep_at = True, 0.0
        self.fixed = settings.order_key is not None
        super().__init__(
            (given or _load(self._path))
            if settings.order_key is None
            else settings.order_key.get_secret_value().encode()
        )

    def adopt(self, value: bytes) -> None:
        """Use the key of the other replicas from now on.

        The key is also written to the file, for starts without the other replicas.
        """
        before, self.value = self.id, value
        structlog.get_logger().warning(
            "order key of the other replicas taken over", before=before, after=self.id
        )
        self._kept, self._keep_at = False, 0.0
        self.keep()

    def keep(self) -> None:
        """Write a key that was adopted to the file, unless it is there; try again once a minute."""
        now = time.monotonic()
        if self._kept or now < self._keep_at:
            return
        self._keep_at = now + _KEEP_AGAIN_SECONDS
        try:
            write_atomically(self._path, key_text(self.value), mode=SECRET)
        except OSError as error:
            structlog.get_logger().warning(
                "order key is not kept on disk", file=str(self._path), reason=str(error)
            )
        else:
            self._kept = True

    def draws(self, share: float, text: str) -> bool:
        """Check whether a text falls into a random share of all texts.

        Without the key nobody can foresee which texts do.

        Args:
            share: share of all texts, 0 to 1.
            text: the text.
        """
        drawn = hmac.digest(self.value, b"draw" + text.encode(), "sha256")
        return int.from_bytes(drawn[:8], "big") < share * 2**64


def _load(path: Path) -> bytes:
    try:
        return key_in_file(path)
    except OrderKeyError as error:
        structlog.get_logger().warning(
            "order key is for this process only", file=str(path), reason=str(error)
        )
        return drawn_key()
