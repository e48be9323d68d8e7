"""Changes of the key file: whole, private, and none lost between commands at the same time."""

import multiprocessing
import stat
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from service.keys import key_file
from service.keys.api_keys import KeyFile, KeyFileError
from tests.support.api_keys import add_key, new_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "keys.json"


def names(path: Path) -> list[str]:
    return [key.name for key in KeyFile.read(path).keys]


def test_the_file_is_made_with_its_folder_for_its_owner_alone(path: Path) -> None:
    add_key(path)
    assert names(path) == ["alice"]
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()} == {0o600}
    path.chmod(0o644)
    add_key(path, "bob")
    assert names(path) == ["alice", "bob"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_name_is_given_once(path: Path) -> None:
    add_key(path)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match=r"holds a key named alice; .* keys revoke alice --file"):
        add_key(path)
    assert path.read_bytes() == before
    key_file.remove(path, "alice")
    add_key(path)
    assert path.read_bytes() != before
    assert names(path) == ["alice"]


def test_a_key_that_is_not_there_cannot_be_revoked(path: Path) -> None:
    add_key(path)
    add_key(path, "bob")
    with pytest.raises(KeyFileError, match="holds no key named carol; it holds alice, bob"):
        key_file.remove(path, "carol")
    for name in ("alice", "bob"):
        key_file.remove(path, name)
    with pytest.raises(KeyFileError, match="it holds none"):
        key_file.remove(path, "alice")


def test_where_there_is_no_file_nothing_is_revoked_and_nothing_left(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"keys.json cannot be read \(No such file"):
        key_file.remove(tmp_path / "keys.json", "alice")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text('{"notes": []}')
    with pytest.raises(KeyFileError, match=r"notes\.json is no file of API keys"):
        add_key(path)
    assert path.read_text() == '{"notes": []}'


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of a directory")
    with pytest.raises(KeyFileError, match=r"file/keys.json cannot be written \(.*\); run this as the user"):
        add_key(tmp_path / "file" / "keys.json")


def test_a_write_that_fails_leaves_the_keys(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_key(path)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(KeyFileError, match="cannot be written \\(No space left on device\\)"):
        add_key(path, "bob")
    assert names(path) == ["alice"]
    assert {entry.name for entry in path.parent.iterdir()} == {"keys.json", ".keys.json.lock"}


def test_a_link_to_the_file_stays_one(path: Path, tmp_path: Path) -> None:
    add_key(path)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    add_key(link, "bob")
    assert link.is_symlink()
    assert names(path) == ["alice", "bob"]


def _add(path: Path, barrier: Barrier, number: int) -> None:
    keys = [new_key(f"key-{number}-{count}")[1] for count in range(5)]
    barrier.wait()
    for key in keys:
        key_file.add(path, key)


def test_commands_at_the_same_time_lose_no_key(path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(6)
    processes = [fork.Process(target=_add, args=(path, barrier, number), daemon=True) for number in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=30)
    assert sorted(names(path)) == sorted(f"key-{n}-{count}" for n in range(6) for count in range(5))
