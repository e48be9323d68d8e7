"""Image files in one folder a class, in a directory or in tar archives.

The class folders may lie in split folders.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from mutant_guard.errors import DataError
from mutant_guard.store.choices import Resize
from mutant_store.boundary import printable
from mutant_store.datasets.conversion import Shape
from mutant_store.datasets.image_data import ImageData
from mutant_store.datasets.source import natural_key
from mutant_store.datasets.sources.image_group import FORMATS, ImageGroup
from mutant_store.datasets.sources.image_tree import walk
from mutant_store.datasets.sources.location import locate
from mutant_store.datasets.spec import DataSpec, check_text

_SPLIT_FOLDERS = {"train": "train", "test": "test", "holdout": "holdout", "val": "holdout"}
_SUFFIXES_TOLD = 5
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz")


def read(spec: DataSpec, shape: Shape | None, resize: Resize) -> ImageData:
    """Load the split of image files that a SPEC names, decoded and fitted one by one.

    The path is a folder of ``CLASS/IMAGE`` or ``SPLIT/CLASS/IMAGE`` files, a tar archive of one, or
    a folder with archives by split, such as ``train.tar.xz`` and ``test.tar.xz``. A tree without
    split folders is one source: all of it, or its first tenth as holdout and the rest as train.
    Without a ``holdout`` (or ``val``) folder, the holdout is a tenth of train in the same way.
    Class names are the names of the folders that hold images, in whatever folder or archive is
    read, in natural order: '2' before '10'. What is left out is told in the notes of the result:
    files of other suffixes, and up to one in a hundred images that cannot be read.

    Args:
        spec: SPEC without its slice.
        shape: (height, width, channels) of the model; None keeps the natural size.
        resize: text of the rule by which images get the model's size; see ``ResizeRule``.

    Raises:
        DataError: the split is missing, the files lie otherwise, or more than one in a hundred
            cannot be decoded or fitted.
    """
    path = locate(spec, "cifar10")
    archives = _archives(path)
    splits: set[str | None] = set(archives)
    unnamed = None
    if archives:
        unnamed = _folder(spec, splits)
        path = archives[unnamed]
    groups: dict[str | None, ImageGroup] = {}
    class_names = set()
    others: Counter[str] = Counter()
    for split, class_name, content, name in _labelled(path, unnamed, others):
        splits.add(split)
        class_names.add(class_name)
        if split is not None and spec.split is None:
            raise DataError(
                f"{spec} needs a split, as its images lie in split folders: @train, @holdout or @test"
            )
        # A train folder is decoded for a holdout cut from it, unless a holdout folder has turned
        # up.
        fallback = spec.split == "holdout" and split == "train" and "holdout" not in splits
        if split in (None, spec.split) or fallback:
            groups.setdefault(split, ImageGroup(shape, resize)).add(content, class_name, name)
    passed_over = _told(path, others)
    if not class_names:
        raise DataError(
            "; ".join((f"{path} has no {FORMATS} images in it; put them in one folder a class", *passed_over))
        )
    folder = None if None in splits else _folder(spec, splits)
    if folder not in groups:
        raise DataError(f"{path} has no images of {folder} in it; put them in {folder}/CLASS/IMAGE")
    source = groups[folder].source(sorted(class_names, key=natural_key))
    if folder is None or (folder == "train" and "holdout" not in splits):
        data = source.cut_split(spec, holdout=len(source) // 10)
    else:
        data = source.cut(spec, 0, len(source))
    return replace(data, notes=(*groups[folder].notes, *passed_over))


def _told(path: Path, others: Counter[str]) -> tuple[str, ...]:
    """Return a sentence on the files that were passed over; none where there are no such files."""
    if not others:
        return ()
    most = sorted(others.items(), key=lambda item: (-item[1], item[0]))[:_SUFFIXES_TOLD]
    kinds = [f"{count:,} {suffix or 'without suffix'}" for suffix, count in most]
    rest = others.total() - sum(count for _, count in most)
    listed = ", ".join([*kinds, f"{rest:,} others"] if rest else kinds)
    return (f"{path}: files passed over that are no {FORMATS} by their suffix: {listed}",)


def _folder(spec: DataSpec, splits: set[str | None]) -> str:
    """Return the split folder or archive to read for a SPEC.

    It is the split's own, or train for a holdout that has none.
    """
    folder = "train" if spec.split == "holdout" and "holdout" not in splits else spec.split
    if folder is None or folder not in splits:
        there = ", ".join(sorted(f"@{split}" for split in splits))
        raise DataError(
            f"{spec} {'needs a split' if folder is None else 'has no such split'}; there is {there}"
        )
    return folder


def _archives(path: Path) -> dict[str, Path]:
    """Return, by split, the tar archives in the folder ``path`` that are named after a split."""
    names = {f"{folder}{ending}": split for folder, split in _SPLIT_FOLDERS.items() for ending in _ARCHIVES}
    if not path.is_dir():
        return {}
    return {names[file.name]: file for file in sorted(path.iterdir()) if file.name in names}


def _labelled(
    path: Path, unnamed: str | None, others: Counter[str]
) -> Iterator[tuple[str | None, str, Callable[[], bytes], str]]:
    """Yield the tree's image files as (split, class name, content, name for messages).

    All files must lie alike. ``unnamed`` is the split of files that lie in no split folder.
    """
    layout = None
    for parts, content in walk(path, others):
        name = f"{path}: {printable('/'.join(parts))}"
        split_folder = parts[-3] if len(parts) > 2 and parts[-3] in _SPLIT_FOLDERS else None
        prefix = parts[: -2 if split_folder is None else -3]
        layout = layout or (split_folder is None, prefix)
        if len(parts) < 2 or layout != (split_folder is None, prefix):
            raise DataError(
                f"{name} lies apart from the others; all must be CLASS/IMAGE or all SPLIT/CLASS/IMAGE"
            )
        check_text(parts[-2], f"{path}: the name of a folder")
        yield _SPLIT_FOLDERS.get(split_folder or "", unnamed), parts[-2], content, name
