"""Files of a model's folder, read with bounds: they come from strangers."""

from pathlib import Path
from typing import Annotated, TypeVar

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, ValidationError

from mutant_guard.errors import ModelError
from mutant_store.boundary import check_no_pointer, first_line

_LONGEST = 8 << 20
"""Bytes of a text file, at most: ImageNet-21k's class names take two million."""

Pixels = Annotated[int, Ge(1), Le(1 << 14)]
"""Length of a side of an image."""

Share = Annotated[float, Gt(0), Le(1)]
"""Share of an image's side that a crop keeps."""

Channels = Annotated[int, Ge(1), Le(4)]
"""Number of channels of an image."""


class Foreign(BaseModel):
    """Record of another project's file, of which only the fields named here are read."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


Record = TypeVar("Record", bound=Foreign)


def find_file(folder: Path, *names: str) -> Path | None:
    """Return the first of several files that is in a folder; None where none is.

    A link may lead to another file of the folder, or as in the cache of Hugging Face, from
    ``snapshots/REVISION`` to ``blobs``.

    Raises:
        ModelError: the file is a link that leads elsewhere, or no file.
    """
    for path in (folder / name for name in names):
        if path.is_symlink() or path.exists():
            home = folder.resolve()
            roots = [home] + ([home.parents[1] / "blobs"] if home.parent.name == "snapshots" else [])
            if not any(path.resolve().is_relative_to(root) for root in roots):
                raise ModelError(f"{path} is a link that leads out of the folder; put the file itself there")
            if not path.is_file():
                raise ModelError(f"{path} is no file; put the file itself there")
            return path
    return None


def read_text(path: Path) -> str:
    """Return the text of a file of a few megabytes at most.

    Raises:
        ModelError: the file is longer, a Git LFS pointer or not UTF-8, or cannot be read.
    """
    try:
        check_no_pointer(path, ModelError)
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
        if len(content) > _LONGEST:
            raise ModelError(f"{path} is longer than {_LONGEST >> 20} MiB; this is not the file it should be")
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read ({first_line(error)}); download it again") from error


def read_record(path: Path, record: type[Record]) -> Record:
    """Read a JSON file.

    Raises:
        ModelError: the file cannot be read, is no JSON, or a value in it is not what it has to be;
            the message names that value.
    """
    try:
        return record.model_validate_json(read_text(path))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"] if isinstance(part, str) or part >= 0)
        what = f"'{where}': {problem['msg']}" if where else problem["msg"]
        raise ModelError(f"{path} is not understood ({what}); download it again, or mend it") from error
