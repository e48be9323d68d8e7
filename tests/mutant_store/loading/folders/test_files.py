"""Files of a folder that comes from strangers."""

import os
from pathlib import Path

import pytest

from mutant_guard.errors import ModelError
from mutant_store.loading.folders.files import find_file, read_record, read_text
from mutant_store.loading.folders.hugging_face import Config


def test_the_first_file_that_is_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("")
    (tmp_path / "c").write_text("")
    assert find_file(tmp_path, "a", "b", "c") == tmp_path / "b"
    assert find_file(tmp_path, "a") is None


def test_links_lead_within_the_folder_or_into_the_cache_of_hugging_face(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    folder = tmp_path / "models--someone--model" / "snapshots" / "0123"
    blobs = folder.parents[1] / "blobs"
    for made in (folder, blobs):
        made.mkdir(parents=True)
    (blobs / "abc").write_text("{}")
    (folder / "config.json").symlink_to("../../blobs/abc")
    (folder / "other.json").symlink_to("config.json")
    assert find_file(folder, "config.json") == folder / "config.json"
    assert find_file(folder, "other.json") == folder / "other.json"
    (folder / "out.json").symlink_to(secret)
    (folder / "lost.json").symlink_to("nowhere")
    with pytest.raises(ModelError, match=r"out\.json is a link that leads out of the folder"):
        find_file(folder, "out.json")
    with pytest.raises(ModelError, match=r"lost\.json is no file"):
        find_file(folder, "lost.json")
    elsewhere = tmp_path / "plain"
    elsewhere.mkdir()
    (elsewhere / "config.json").symlink_to(blobs / "abc")
    with pytest.raises(ModelError, match="leads out of the folder"):
        find_file(elsewhere, "config.json")


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ModelError, match="is no file"):
        find_file(tmp_path, "config.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not understood"),
        (b"[1]", "is not understood"),
        (b"[" * 100_000, "is not understood"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b'{"num_channels": "many"}', "'num_channels'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b" " * ((8 << 20) + 1), "longer than 8 MiB"),
    ],
)
def test_what_is_no_such_record_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as error:
        read_record(path, Config)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbf{}")
    assert read_text(tmp_path / "x") == "{}"
