"""Routes of the images that the console offers to classify, from one folder."""

from pathlib import Path

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mutant_guard.store.files import read_regular
from service.http.access import may_look
from service.http.current import service_of
from service.http.problems import ProblemError

# Not in the OpenAPI document, since these routes are for the console and exist only with it.
router = APIRouter(include_in_schema=False)

MOST = 60
"""Most samples offered; the first by name are."""
_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}

_UNREADABLE = (OSError, RuntimeError)  # pathlib raises RuntimeError for a loop of links, up to Python 3.12


class Sample(BaseModel):
    """Image to classify."""

    name: str = Field(examples=["digits-test-0-label-2.png"])
    """Name of the image's file."""


class Samples(BaseModel):
    """Images that the console offers."""

    samples: list[Sample]
    """Samples, by name."""


@router.get("/samples", summary="Images to try")
async def samples(request: Request) -> Samples:
    """List the samples. Takes any key.

    The list is empty where ``GUARD_SAMPLES_DIR`` is not set, or there is no such folder.
    """
    await may_look(request)
    found = await to_thread.run_sync(_files, request)
    return Samples(samples=[Sample(name=name) for name in found])


@router.get("/samples/{name}", summary="An image to try", response_class=Response)
async def sample(request: Request, name: str) -> Response:
    """Return the file as it is; 404 where ``/samples`` does not list it."""
    await may_look(request)
    content = await to_thread.run_sync(_read, request, name)
    return Response(content, media_type=_MEDIA_TYPES[Path(name).suffix.lower()])


def _read(request: Request, name: str) -> bytes:
    path = _files(request).get(name)
    try:
        if path is not None:
            return read_regular(path, service_of(request).settings.max_body_bytes, follow=False)
    except OSError:
        pass  # the file is gone, cannot be read, or is another one now
    raise ProblemError(404, "unknown-sample", f"there is no sample '{name[:64]}'; /samples lists them")


def _files(request: Request) -> dict[str, Path]:
    """Return the image files of the folder by name, at most as large as a request may be.

    Only files of the folder itself count. A link counts where it leads to a file in the folder or
    below, as Kubernetes mounts a ConfigMap; no link may lead out.
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
    """Check that a file's name is UTF-8; others can be neither listed in JSON nor asked for."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _within(folder: Path, name: str, most_bytes: int) -> Path | None:
    """Return the path of a file that may be sent, None for any other name."""
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
