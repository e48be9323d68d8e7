"""The secret that orders the mutants: where it is kept, and how replicas come to have the same."""

import hmac
import os
import secrets
import tempfile
from pathlib import Path

import structlog

from mutant_store.atomic import SECRET, write_atomically
from service.order import key_id
from service.settings import Settings

KEY_BYTES = 32


class OrderKey:
    """The key in use. It changes where other replicas are found to have another.

    Attributes:
        value: the secret.
        fixed: whether it was set (``GUARD_ORDER_KEY``): then it stays, whatever others have.
    """

    def __init__(self, settings: Settings) -> None:
        """Take the key from the settings, else from its file, which is made at first start.

        Where the file can be neither read nor made, a key for this process alone is used and a warning logged:
        after a restart the same image may then meet another order.
        """
        self._path = settings.order_key_file
        self.fixed = settings.order_key is not None
        self.value = (
            _load(self._path)
            if settings.order_key is None
            else settings.order_key.get_secret_value().encode()
        )

    @property
    def id(self) -> str:
        """Tells keys apart without giving them away."""
        return key_id(self.value)

    def adopt(self, value: bytes) -> None:
        """Use the key of the other replicas from now on, and keep it for starts without them."""
        before, self.value = self.id, value
        structlog.get_logger().warning(
            "order key of the other replicas taken over", before=before, after=self.id
        )
        try:
            write_atomically(self._path, _text(value), mode=SECRET)
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
        path.parent.mkdir(parents=True, exist_ok=True)
        _create(path)
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        if len(key) == KEY_BYTES:
            return key
        reason = "it does not hold 32 bytes in hex"
    except (OSError, ValueError) as error:
        reason = str(error)
    structlog.get_logger().warning("order key is for this process only", file=str(path), reason=reason)
    return secrets.token_bytes(KEY_BYTES)


def _create(path: Path) -> None:
    if path.exists():
        return
    # mode 0600, and a name of its own: replicas that share the directory may share their process id as well
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(_text(secrets.token_bytes(KEY_BYTES)))
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(beside)  # unlike a rename, never replaces the key another process has just made
    except FileExistsError:
        pass
    finally:
        Path(beside).unlink()


def _text(key: bytes) -> bytes:
    return f"{key.hex()}\n".encode("ascii")
