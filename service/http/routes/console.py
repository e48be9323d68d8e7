"""The console: one page, at ``/``, with the scripts and styles it is made of below ``/console``."""

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePath
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from service.http.current import service_of
from service.http.problems import ProblemError
from service.http.routes.served_models import may_look

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
        # No text becomes markup in this page, whatever a class or a file is called: browsers see to it.
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
    """What an image may show."""

    store: str
    """The store that is asked about."""
    classes: list[str]
    """Names of its classes, by position."""


def _packaged() -> dict[str, _File]:
    """The files of the page, by name; no other can be asked for."""
    found = {}
    for path in files("service").joinpath("console").iterdir():
        media_type = _MEDIA_TYPES.get(PurePath(path.name).suffix)
        if media_type is not None:
            content = path.read_bytes()
            found[path.name] = _File(content, media_type, f'"{sha256(content).hexdigest()[:32]}"')
    return found


def console_router() -> APIRouter:
    """Routes of the page; its files are read now. They take no key: the page holds nothing, and asks for one itself."""
    router = APIRouter(include_in_schema=False)
    packaged = _packaged()

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return _answer(packaged[_PAGE], request)

    @router.get("/console/classes")
    async def classes(
        request: Request, store: Annotated[str | None, Query(max_length=256)] = None
    ) -> Classes:
        """Class names of a store, the first where none is named; takes any key."""
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
    """A file, or that the browser's copy is the same: it asks every time, so that page and server fit each other."""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "ETag": file.tag}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
