"""Reader of request bodies; their size is checked before and while they arrive."""

import asyncio

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service.http.problems import ProblemError

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "application/octet-stream")
MULTIPART = "multipart/form-data"

_SLICE_BYTES = 1 << 18
"""Bytes of a form that are read in one go."""


async def read_image(request: Request, limit: int) -> bytes:
    """Read the image of a request: its raw body, or the first file of a multipart form.

    Args:
        request: the request.
        limit: most bytes of the body.

    Raises:
        ProblemError: 413 over ``limit`` bytes, 415 another content type, 422 a form without a file,
            400 the client is gone.
    """
    media_type = request.headers.get("content-type", IMAGE_TYPES[-1]).split(";")[0].strip().lower()
    if media_type not in (*IMAGE_TYPES, MULTIPART):
        allowed = ", ".join((*IMAGE_TYPES, MULTIPART))
        raise ProblemError(
            415,
            "unsupported-type",
            f"content type '{media_type}' is not taken; send the image as one of {allowed}",
        )
    body = await read_bounded(request, limit)
    return body if media_type != MULTIPART else await _first_file(request, body)


async def read_bounded(request: Request, limit: int) -> bytes:
    """Read the body of a request.

    Args:
        request: the request.
        limit: most bytes of the body.

    Raises:
        ProblemError: 413 over ``limit`` bytes, 400 the client is gone.
    """
    too_large = ProblemError(413, "body-too-large", f"the body is larger than {limit:,} bytes; send less")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large
    received = bytearray()
    try:
        async for chunk in request.stream():
            received += chunk
            if len(received) > limit:
                raise too_large
    except ClientDisconnect as error:
        raise ProblemError(400, "incomplete-body", "the connection was closed within the body") from error
    return bytes(received)


async def _first_file(request: Request, body: bytes) -> bytes:
    slices = (body[at : at + _SLICE_BYTES] for at in range(0, len(body), _SLICE_BYTES))

    async def receive() -> Message:
        await asyncio.sleep(0)  # lets the event loop, which reads the form, go on meanwhile
        piece = next(slices, b"")
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    try:
        async with Request(request.scope, receive).form(max_files=1, max_fields=8) as form:
            for value in form.values():
                if isinstance(value, UploadFile):
                    return await value.read()
    except (MultiPartException, HTTPException) as error:
        raise ProblemError(422, "bad-form", f"the multipart form cannot be read: {error}") from error
    raise ProblemError(422, "bad-form", "the multipart form holds no file; send the image as its file part")
