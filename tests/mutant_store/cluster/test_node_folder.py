"""Files that the tasks of a node share."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import ray

from mutant_guard.errors import GuardError
from mutant_store.cluster.node_folder import NodeFolder, SharedFile, content_of, digest_of


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SharedFile:
    """A file whose content the object store gives once, and no more."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    path = tmp_path / "images.npy"
    np.save(path, np.arange(6))
    contents = [content_of(path)]
    monkeypatch.setattr(ray, "get", lambda _: contents.pop())
    return SharedFile(path.name, digest_of(path), "a reference")


def test_tasks_read_one_copy_in_folders_of_their_own(sent: SharedFile) -> None:
    node = NodeFolder("token")
    with node.for_task([sent]) as one, node.for_task([sent]) as other:
        assert np.load(one / "images.npy").tolist() == list(range(6))
        assert one != other
        assert (one / "images.npy").readlink() == (other / "images.npy").readlink()
    assert not one.exists()
    node.remove()
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_a_changed_copy_is_refused_and_fetched_anew_the_next_time(sent: SharedFile) -> None:
    node = NodeFolder("token")
    with node.for_task([sent]) as folder:
        copy = (folder / "images.npy").readlink()
    copy.write_bytes(b"something else")
    with pytest.raises(GuardError, match="is not what was sent"), node.for_task([sent]):
        pass
    assert not copy.exists()


def test_what_a_killed_command_left_goes_after_a_day(sent: SharedFile) -> None:
    left, recent = NodeFolder("left"), NodeFolder("recent")
    with left.for_task([sent]) as folder, recent.for_task([]):
        old = folder.parent
    os.utime(old, (0, 0))
    with NodeFolder("mine").for_task([]) as folder:
        assert not old.exists()
        assert {path.name.rpartition("-")[2] for path in folder.parent.parent.iterdir()} == {"recent", "mine"}
