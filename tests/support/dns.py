"""DNS server that knows the addresses of one name, as Docker's own knows a service's replicas."""

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_QUESTION_A = struct.pack("!HH", 1, 1)  # type A, class IN
_TTL_SECONDS = 1


class Names:
    """DNS server on a UDP port of 127.0.0.1, whose ``addresses`` may be changed at any time."""

    def __init__(self, name: str, addresses: Sequence[str]) -> None:
        """Open the server's port.

        Args:
            name: the one name that is known.
            addresses: IPv4 addresses of the name.
        """
        self.addresses = list(addresses)
        self._wire_name = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        """Address of the server, as HOST:PORT."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def start(self) -> None:
        """Start to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the server, and wait for its thread."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
            stopper.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            asked, who = self._socket.recvfrom(4096)
            if not asked:
                return
            self._socket.sendto(self._answer(asked), who)

    def _answer(self, asked: bytes) -> bytes:
        end = 12 + asked[12:].index(b"\0") + 5
        question = asked[12:end]
        known = question[:-4].lower() == self._wire_name
        found = self.addresses if known and question[-4:] == _QUESTION_A else []
        flags = 0x8180 if known else 0x8183  # the second says that there is no such name
        head = asked[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
        records = [
            b"\xc0\x0c" + _QUESTION_A + struct.pack("!IH", _TTL_SECONDS, 4) + socket.inet_aton(address)
            for address in found
        ]
        return head + question + b"".join(records)


@contextmanager
def resolving(name: str, addresses: Sequence[str]) -> Iterator[Names]:
    """Yield a server that runs during the block."""
    names = Names(name, addresses)
    names.start()
    try:
        yield names
    finally:
        names.stop()
