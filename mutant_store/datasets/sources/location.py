"""Location of a SPEC's files: its own path, or the folder that GUARD_DATA_DIR names."""

import os
from pathlib import Path

from mutant_guard.errors import DataError
from mutant_store.datasets.spec import DataSpec

VARIABLE = "GUARD_DATA_DIR"
_DEFAULT = Path("../shared/data")


def locate(spec: DataSpec, default: str) -> Path:
    """Return the SPEC's path, or the folder ``default`` of $GUARD_DATA_DIR where the SPEC has none.

    Raises:
        DataError: there is no such path, or no place to look for it.
    """
    if spec.path is not None:
        return existing(spec.path, spec)
    folder = os.environ.get(VARIABLE)
    if folder:
        return existing(Path(folder) / default, spec)
    if (_DEFAULT / default).exists():
        return _DEFAULT / default
    raise DataError(
        f"{spec} has no path; write {spec.kind}:PATH, or set {VARIABLE} to a folder with {default}/ in it"
    )


def existing(path: Path, spec: DataSpec) -> Path:
    """Return ``path`` itself, or refuse the SPEC where nothing is there.

    Raises:
        DataError: nothing is there.
    """
    if not path.exists():
        hint = "; splits are @train, @holdout and @test" if "@" in path.name else ""
        raise DataError(f"{spec}: there is no {str(path)!r}{hint}")
    return path
