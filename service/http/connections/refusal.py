"""Refusal of a request by its connection, before there is anything to pass on."""

from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.http import problems
from service.http.headers import SECURITY_HEADERS


class Refusal(Exception):  # noqa: N818  # it is an answer to a client, not a fault of the server
    """Request that is refused."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        """Make the refusal.

        Args:
            status: HTTP status.
            code: stable code.
            detail: sentence that names the fault and the remedy.
        """
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail

    def answer(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the whole answer, after which the connection ends.

        Args:
            headers: further headers.
        """
        found = problems.response(self.status, self.code, self.detail, SECURITY_HEADERS)
        lines = [*headers, *found.raw_headers, (b"connection", b"close")]
        head = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
        return STATUS_LINE[self.status] + head + b"\r\n" + bytes(found.body)
