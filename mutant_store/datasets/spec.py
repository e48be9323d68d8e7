"""Text that names a set of labelled images: ``kind[:path][@split][[start:stop]]``."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from mutant_guard.errors import DataError

KINDS = ("digits", "mnist", "imagefolder", "npz")
SPLITS = ("train", "holdout", "test")
EXAMPLES = "digits@holdout, mnist:DIR@test, imagefolder:DIR_OR_TAR@test[0:4000] or npz:FILE[100:]"

# Endings of a SPEC. They are taken off the end, so that a path may hold '@', ':' and '[' elsewhere.
_SLICE = re.compile(r"\[([0-9]*):([0-9]*)\]\Z")
_SPLIT = re.compile(rf"@({'|'.join(SPLITS)})\Z")


@dataclass(frozen=True)
class DataSpec:
    """Parsed SPEC; ``str()`` gives the text back, and ``parse`` of that text an equal DataSpec.

    Attributes:
        kind: kind of data, one of ``KINDS``.
        path: file or folder of the data; None where the SPEC names none.
        split: one of ``SPLITS``; None where the SPEC names none.
        start: position of the first image within the split, in the fixed order of its source; None
            is open.
        stop: position behind the last image, counted in the same way; None is open.

    Raises:
        DataError: unknown kind or split, a negative bound, or a path whose own end reads as a split
            or slice.
    """

    kind: str
    path: Path | None = None
    split: str | None = None
    start: int | None = None
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(
                f"unknown kind of data {self.kind!r}; it is one of {', '.join(KINDS)}: {EXAMPLES}"
            )
        if self.split is not None and self.split not in SPLITS:
            raise DataError(f"unknown split {self.split!r}; it is one of {', '.join(SPLITS)}")
        if min(self.start or 0, self.stop or 0) < 0:
            raise DataError(f"slice [{self.start}:{self.stop}] counts from the end; use positions from 0")
        if self.kind == "digits" and self.path is not None:
            raise DataError(f"digits come with scikit-learn and take no path; drop ':{self.path}'")
        ending = "" if self.path is None else str(self.path)
        if _SLICE.search(ending) or _SPLIT.search(ending):
            raise DataError(f"path {ending!r} ends like a split or a slice; rename it")

    def portable(self) -> "DataSpec":
        """Return the SPEC without the folders that the data lies in on this machine.

        This is the form that is written into files that travel.
        """
        keep = self.path is not None and self.kind != "mnist" and self.path.name
        return replace(self, path=Path(keep) if keep else None)

    def __str__(self) -> str:
        path = "" if self.path is None else f":{self.path}"
        split = "" if self.split is None else f"@{self.split}"
        if self.start is None and self.stop is None:
            return f"{self.kind}{path}{split}"
        start = "" if self.start is None else self.start
        stop = "" if self.stop is None else self.stop
        return f"{self.kind}{path}{split}[{start}:{stop}]"


def check_text(text: str, what: str) -> None:
    """Refuse a name that cannot be written into the files of a store.

    Python keeps the bytes of file names that are not UTF-8 as lone surrogates.

    Raises:
        DataError: the name is not UTF-8; the message shows it in escapes.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{what} is not UTF-8: {text!a}; rename it") from error


def parse(text: str) -> DataSpec:
    """Read a SPEC such as ``imagefolder:photos.tar@test[0:4000]`` without opening any data.

    Raises:
        DataError: the text does not follow the grammar; the message gives examples.
    """
    rest, start, stop, split = text, None, None, None
    if bounds := _SLICE.search(rest):
        rest = rest[: bounds.start()]
        start, stop = (int(bound) if bound else None for bound in bounds.groups())
    if name := _SPLIT.search(rest):
        rest = rest[: name.start()]
        split = name[1]
    check_text(text, "--data")
    kind, colon, path = rest.partition(":")
    if colon and not path:
        raise DataError(f"data {text!r} has a ':' but no path after it; write for example {EXAMPLES}")
    if not colon and "@" in kind:
        raise DataError(f"data {text!r} names an unknown split; it is one of {', '.join(SPLITS)}")
    if not colon and "[" in kind:
        raise DataError(f"data {text!r} has a slice that does not read [start:stop], both positions from 0")
    return DataSpec(kind, Path(path) if colon else None, split, start, stop)
