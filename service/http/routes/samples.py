"""Images that the console offers to classify: those of one folder, which the operator names."""

from pathlib import Path

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from service.http.current import service_of
from service.http.problems import ProblemError
from service.http.routes.served_models import may_look

# Not in the OpenAPI document: they are the console's own, and are there with it.
router = APIRouter(include_in_schema=False)

MOST = 60
"""Samples offered, the first by name."""
_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}

_UNREADABLE = (OSError, RuntimeError)  # what pathlib makes of a loop of links, up to Python 3.12


class Sample(BaseModel):
    """An image to classify."""

    name: str = Field(examples=["digits-test-0-label-2.png"])
    """Its file's name."""


class Samples(BaseModel):
    """What may be picked."""

    samples: list[Sample]
    """By name."""


@router.get("/samples", summary="Images to try")
async def samples(request: Request) -> Samples:
    """None where ``GUARD_SAMPLES_DIR`` is not set, or there is no such folder. Takes any key."""
    await may_look(request)
    found = await to_thread.run_sync(_files, request)
    return Samples(samples=[Sample(name=name) for name in found])


@router.get("/samples/{name}", summary="An image to try", response_class=Response)
async def sample(request: Request, name: str) -> Response:
    """The file as it is; 404 where ``/samples`` does not list it."""
    await may_look(request)
    content = await to_thread.run_sync(_read, request, name)
    return Response(content, media_type=_MEDIA_TYPES[Path(name).suffix.lower()])


def _read(request: Request, name: str) -> bytes:
    path = _files(request).get(name)
    try:
        if path is not None:
            return path.read_bytes()
    except OSError:
        pass  # it went, or was never to be read
    raise ProblemError(404, "unknown-sample", f"there is no sample '{name[:64]}'; /samples lists them")


def _files(request: Request) -> dict[str, Path]:
    """Files of images by name: those of the folder itself, at most as large as a request may be.

    A link counts where it leads to a file in the folder or below, as Kubernetes mounts a ConfigMap; none leads out.
    """
    settings = service_of(request).settings
    if settings.samples_dir is None:
        return {}
    try:
        folder = settings.samples_dir.resolve(strict=True)
        names = sorted(path.name for path in folder.iterdir())
    except _UNREADABLE:
        return {}
    found: dict[str, Path] = {}
    for name in names:
        if len(found) == MOST:
            break
        path = _within(folder, name, settings.max_body_bytes)
        if path is not None:
            found[name] = path
    return found


def _is_text(name: str) -> bool:
    """Whether a file's name is UTF-8: one that is not can be neither listed in JSON nor asked for."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _within(folder: Path, name: str, most_bytes: int) -> Path | None:
    """The file of a name, if it is one that may be sent."""
    if name.startswith(".") or Path(name).suffix.lower() not in _MEDIA_TYPES:
        return None
    if not _is_text(name):
        return None
    try:
        path = (folder / name).resolve(strict=True)
        within = path.is_relative_to(folder) and path.is_file() and path.stat().st_size <= most_bytes
    except _UNREADABLE:
        return None
    return path if within else None
