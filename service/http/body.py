"""Reader of request bodies; the size of each and of all is checked before and while they arrive."""

import asyncio

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.connections.intake import INTAKE
from service.http.options import refuse_options
from service.http.problems import ProblemError

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "application/octet-stream")
MULTIPART = "multipart/form-data"

_SLICE_BYTES = 1 << 18
"""Bytes of a form that are read in one go."""

_ROUNDS = 10
"""Rounds of the event loop within which a request that is given up lets go of its body."""


class BoundedBodies:
    """Middleware that counts the bytes of all request bodies from their arrival to the answer.

    Requests whose bodies are still arriving are not in flight yet, so nothing else bounds what many
    of them take together. Where there is no room, the body that has been coming longest is given
    up.
    """

    def __init__(self, app: ASGIApp, *, most_bytes: int) -> None:
        """Wrap an application.

        Args:
            app: application that answers.
            most_bytes: most bytes that bodies take together.
        """
        self._app, self._most = app, most_bytes
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; reading its body raises ``ProblemError`` (503) beyond the bound."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            size = len(message.get("body", b""))
            if self._held + size > self._most and not await self._make_room(size, scope):
                raise ProblemError(
                    503,
                    "bodies-full",
                    f"request bodies already take {self._held:,} of {self._most:,} bytes; try again later",
                )
            self._held += size
            taken += size
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._held -= taken

    async def _make_room(self, size: int, scope: Scope) -> bool:
        """Have bodies given up that have long been coming, until there is room for some bytes."""
        intake = scope.get(INTAKE)
        while intake is not None and intake.give_up_another():
            for _ in range(_ROUNDS):
                await asyncio.sleep(0)
                if self._held + size <= self._most:
                    return True
        return False


async def read_image(request: Request, limit: int) -> bytes:
    """Read the image of a request: its raw body, or the first file of a multipart form.

    Args:
        request: the request.
        limit: most bytes of the body.

    Raises:
        ProblemError: 413 over ``limit`` bytes, 415 another content type or a compressed body, 422 a
            form without a file, 400 the client is gone, 503 too many bodies at a time.
    """
    media_type = request.headers.get("content-type", IMAGE_TYPES[-1])
    if media_type not in IMAGE_TYPES:
        media_type = media_type.split(";")[0].strip().lower()
    if media_type not in (*IMAGE_TYPES, MULTIPART):
        allowed = ", ".join((*IMAGE_TYPES, MULTIPART))
        raise ProblemError(
            415,
            "unsupported-type",
            f"content type '{media_type[:64]}' is not taken; send the image as one of {allowed}",
        )
    refuse_encoded(request)
    body = await read_bounded(request, limit)
    return body if media_type != MULTIPART else await _first_file(request, body)


def refuse_encoded(request: Request) -> None:
    """Refuse a body that is compressed; an unpacked body could have any size.

    Raises:
        ProblemError: 415, the request names a content encoding.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise ProblemError(
            415,
            "unsupported-type",
            f"content encoding '{encoding[:64]}' is not taken; send the body without compression",
        )


async def read_bounded(request: Request, limit: int) -> bytes:
    """Read the body of a request.

    Args:
        request: the request.
        limit: most bytes of the body.

    Raises:
        ProblemError: 413 over ``limit`` bytes, 400 the client is gone, 503 too many bodies at a
            time.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    received, pieces, more = 0, [], True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ProblemError(400, "incomplete-body", "the connection was closed within the body")
        piece, more = message.get("body", b""), message.get("more_body", False)
        received += len(piece)
        if received > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, "body-too-large", f"the body is larger than {limit:,} bytes; send less")


async def _first_file(request: Request, body: bytes) -> bytes:
    slices = (body[at : at + _SLICE_BYTES] for at in range(0, len(body), _SLICE_BYTES))

    async def receive() -> Message:
        await asyncio.sleep(0)  # lets the event loop, which reads the form, go on meanwhile
        piece = next(slices, b"")
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    try:
        async with Request(request.scope, receive).form(max_files=1, max_fields=8) as form:
            refuse_options([name for name, value in form.multi_items() if not isinstance(value, UploadFile)])
            for value in form.values():
                if isinstance(value, UploadFile):
                    return await value.read()
    except (MultiPartException, HTTPException) as error:
        raise ProblemError(422, "bad-form", f"the multipart form cannot be read: {error}") from error
    raise ProblemError(422, "bad-form", "the multipart form holds no file; send the image as its file part")
