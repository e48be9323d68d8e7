"""Routes of the console: one page, at ``/``, and its scripts and styles below ``/console``."""

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePath
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from service.http.access import may_look
from service.http.current import service_of
from service.http.problems import ProblemError

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # Browsers keep text from becoming markup in this page, whatever a class or a file is
        # called.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_PAGE = "index.html"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class _File:
    content: bytes
    media_type: str
    tag: str


class Classes(BaseModel):
    """Classes of a store."""

    store: str
    """Name of the store."""
    classes: list[str]
    """Class names of the store, by position."""


def _packaged() -> dict[str, _File]:
    """Read the files of the page, by name; no other file can be asked for."""
    found = {}
    for path in files("service").joinpath("console").iterdir():
        media_type = _MEDIA_TYPES.get(PurePath(path.name).suffix)
        if media_type is not None:
            content = path.read_bytes()
            found[path.name] = _File(content, media_type, f'"{sha256(content).hexdigest()[:32]}"')
    return found


def console_router() -> APIRouter:
    """Return the routes of the page, whose files are read now.

    They take no key: the page holds nothing secret, and asks for a key itself.
    """
    router = APIRouter(include_in_schema=False)
    packaged = _packaged()

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return _answer(packaged[_PAGE], request)

    @router.get("/console/classes")
    async def classes(
        request: Request, store: Annotated[str | None, Query(max_length=256)] = None
    ) -> Classes:
        """Return the class names of a store, by default the first; takes any key."""
        await may_look(request)
        model = service_of(request).models.get(store)
        return Classes(store=model.name, classes=list(model.store.manifest.classes))

    @router.api_route("/console/{name}", methods=["GET", "HEAD"])
    async def file(request: Request, name: str) -> Response:
        if name == _PAGE or name not in packaged:
            raise ProblemError(404, "not-found", f"the console has no file '{name[:64]}'; it is at /")
        return _answer(packaged[name], request)

    return router


def _answer(file: _File, request: Request) -> Response:
    """Return a file, or 304 where the browser's copy is the same.

    The browser asks every time, so that page and server fit each other.
    """
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "ETag": file.tag}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
