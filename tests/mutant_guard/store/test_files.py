import os
from pathlib import Path

import pytest

from mutant_guard.store.files import read_regular


def test_a_regular_file_is_read_whole_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"a", b"12345678"):
        path.write_bytes(content)
        assert read_regular(path, 8) == content


def test_a_link_is_followed_unless_it_must_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    link = tmp_path / "link"
    link.symlink_to("file")
    assert read_regular(link, 8) == b"content"
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        read_regular(link, 8, follow=False)


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(OSError, match=r"it has 1,099,511,627,776 bytes and may have 65,536"):
        read_regular(path, 1 << 16)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_regular_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "entry"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="it is no regular file"):
        read_regular(path, 8)


def test_a_file_that_grows_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"123")
    look = os.fstat

    def grown(descriptor: int) -> os.stat_result:
        found = look(descriptor)
        path.write_bytes(b"123456789")
        return found

    monkeypatch.setattr(os, "fstat", grown)
    with pytest.raises(OSError, match="it grew while it was read"):
        read_regular(path, 8)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123456789")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for most in (9, 8):
        try:
            read_regular(tmp_path / "file", most)
        except OSError:
            assert most == 8
    assert len(list(Path("/proc/self/fd").iterdir())) == before
