"""The secret that orders the mutants: where it is kept, and how replicas come to have the same."""

import hmac
from pathlib import Path

import structlog

from mutant_guard.errors import OrderKeyError
from mutant_guard.runtime.order import OrderKey, drawn_key, key_in_file, key_text
from mutant_guard.store.atomic import SECRET, write_atomically
from service.settings import Settings


class ServerOrderKey(OrderKey):
    """The key in use. It changes where other replicas are found to have another.

    Attributes:
        fixed: whether it was set (``GUARD_ORDER_KEY``): then it stays, whatever others have.
    """

    def __init__(self, settings: Settings) -> None:
        """Take the key from the settings, else from its file, which is made at first start.

        Where the file can be neither read nor made, a key for this process alone is used and a warning logged:
        after a restart the same image may then meet another order.
        """
        self._path = settings.order_key_file
        self.fixed = settings.order_key is not None
        super().__init__(
            _load(self._path)
            if settings.order_key is None
            else settings.order_key.get_secret_value().encode()
        )

    def adopt(self, value: bytes) -> None:
        """Use the key of the other replicas from now on, and keep it for starts without them."""
        before, self.value = self.id, value
        structlog.get_logger().warning(
            "order key of the other replicas taken over", before=before, after=self.id
        )
        try:
            write_atomically(self._path, key_text(value), mode=SECRET)
        except OSError as error:
            structlog.get_logger().warning(
                "order key is not kept on disk", file=str(self._path), reason=str(error)
            )

    def draws(self, share: float, text: str) -> bool:
        """Whether a text is among this share of all texts, which nobody without the key can foresee."""
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
