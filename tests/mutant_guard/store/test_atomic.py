"""Atomic writes: a file is either the old one or a whole new one."""

import errno
from pathlib import Path
from typing import Any

import pytest

from mutant_guard.store.atomic import create, half_removed, half_written, remove_directory, write_atomically
from tests.support.versions import killed_at


def test_a_file_is_created_with_its_folders_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a/b/file"
    for content in (b"one", b"two"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [write_atomically, create])
def test_a_full_disk_is_said_with_the_file(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write(tmp_path / "file", b"new", mode=0o600)
    assert str(tmp_path / "file") in str(caught.value)


def test_what_a_killed_write_leaves_is_told_from_other_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    others = {
        tmp_path / name for name in ("file", ".file.a", ".file.ABCDEFGH", ".file2.abcdefgh", "file.abcdefgh")
    }
    for other in others:
        other.write_bytes(b"old")
    assert killed_at(0, lambda: write_atomically(path, b"new"))
    (left,) = set(tmp_path.iterdir()) - others
    assert half_written(path) == [left]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_is_created_with_its_mode_and_never_replaced(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "a/file"
    create(path, b"one", mode=mode)
    assert path.stat().st_mode & 0o777 == mode
    with pytest.raises(FileExistsError):
        create(path, b"two", mode=mode)
    assert path.read_bytes() == b"one"


def test_a_file_that_cannot_be_made_durable_is_not_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        create(tmp_path / "file", b"one", mode=0o600)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_there_whole_or_not_under_its_name(tmp_path: Path) -> None:
    for step in range(10):
        folder = tmp_path / str(step)
        for name in ("a", "b", "c/d"):
            write_atomically(folder / name, b"content")
        killed = killed_at(step, lambda folder=folder: remove_directory(folder))  # type: ignore[misc]
        if folder.exists():
            assert len(list(folder.rglob("*"))) == 4
            assert half_removed(tmp_path) == []
            remove_directory(folder)
        for left in half_removed(tmp_path):
            remove_directory(left)
        assert list(tmp_path.iterdir()) == []
        if not killed:
            break
    assert step > 4


def test_an_interrupted_removal_is_in_nobodys_way(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in (".removing.folder", "folder"):
        write_atomically(tmp_path / name / "file", b"content")
    remove_directory(folder)
    assert list(tmp_path.iterdir()) == []
