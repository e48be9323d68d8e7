"""The ring of API keys: when the file is read again, and what holds while it cannot be read."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mutant_guard.errors import NotReadyError
from service.keys import key_file
from service.keys.api_keys import KeyFileError
from service.keys.key_ring import KeyRing
from tests.support.api_keys import add_key
from tests.support.service import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("service.keys.key_ring.time", clock)
    return clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_keys_that_come_and_go_are_known_within_a_second(path: Path, clock: Clock) -> None:
    first = add_key(path, "first")
    ring = KeyRing(path)
    second = add_key(path, "second", role="admin")
    clock.now += 0.99
    assert ring.find(second) is None
    assert not ring.has_admin
    clock.now += 0.01
    assert ring.has_admin
    assert ring.find(second)
    key_file.remove(path, "first")
    clock.now += 0.99
    assert ring.find(first)
    clock.now += 0.01
    assert ring.find(first) is None
    assert ring.find(second)


def test_a_file_put_in_place_of_another_is_seen_whatever_its_time_and_size(path: Path, clock: Clock) -> None:
    """Restoring a volume replaces a file like this, and so does turning a mounted secret's link."""
    old, new = path.with_name("old"), path.with_name("new")
    secrets = [add_key(old), add_key(new)]
    for version in (old, new):
        os.utime(version, ns=(10**18, 10**18))
    assert old.stat().st_size == new.stat().st_size
    path.symlink_to(old)
    ring = KeyRing(path)
    assert ring.find(secrets[0])
    path.unlink()
    path.symlink_to(new)
    clock.now += 1
    assert ring.find(secrets[0]) is None
    assert ring.find(secrets[1])


def test_the_file_is_not_read_more_than_once_a_second(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = add_key(path)
    ring = KeyRing(path)
    looked: list[object] = []
    opened = os.open

    def counted(*which: Any, **how: Any) -> int:
        looked.append(which[0])
        return opened(*which, **how)

    monkeypatch.setattr(os, "open", counted)
    for _ in range(100):
        clock.now += 0.0625  # 6.25 s in total
        assert ring.find(secret)
        assert not ring.has_admin
        assert ring.stale_seconds == 0
    assert looked == [path] * 6


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Have every file that is opened fail with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def denied(path: Path) -> Iterator[None]:
    """Have the file fail with EACCES, as for a user who is not root."""
    with pytest.MonkeyPatch.context() as patch:
        opened = os.open

        def refused(which: Any, *how: Any, **more: Any) -> int:
            if which == path:
                raise PermissionError(errno.EACCES, "Permission denied")
            return opened(which, *how, **more)

        patch.setattr(os, "open", refused)
        yield


@contextmanager
def pipe_in_place(path: Path) -> Iterator[None]:
    aside = path.rename(path.with_suffix(".aside"))
    os.mkfifo(path)
    yield
    aside.replace(path)


@pytest.mark.parametrize("fault", ["no descriptor", "denied", "pipe"])
def test_a_revocation_is_not_lost_where_the_file_cannot_be_read_at_first(
    fault: str, path: Path, clock: Clock
) -> None:
    secret, other = add_key(path), add_key(path, "other")
    ring = KeyRing(path)
    key_file.remove(path, "alice")
    unreadable = {"no descriptor": no_descriptor_left(), "denied": denied(path), "pipe": pipe_in_place(path)}
    with capture_logs() as logs:
        with unreadable[fault]:
            for _ in range(3):
                clock.now += 1
                assert ring.find(secret)
            assert ring.stale_seconds == 3
        clock.now += 1
        assert ring.find(secret) is None
        assert ring.find(other)
        assert ring.stale_seconds == 0
    assert [line["event"] for line in logs] == ["API keys stay as they were", "API keys read"]


def test_a_file_that_cannot_be_read_costs_no_descriptor(path: Path, tmp_path: Path, clock: Clock) -> None:
    add_key(path)
    ring = KeyRing(path)
    path.unlink()
    path.mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        clock.now += 1
        assert ring.stale_seconds > 0
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_no_key_is_taken_once_the_file_could_not_be_read_for_long(path: Path, clock: Clock) -> None:
    secret = add_key(path)
    ring = KeyRing(path, grace_seconds=60)
    aside = path.rename(path.with_suffix(".aside"))
    clock.now += 59.9
    assert ring.find(secret)
    assert not ring.stale
    clock.now += 1.0
    assert ring.stale
    with pytest.raises(NotReadyError, match="cannot read its API keys"):
        ring.find(secret)
    with pytest.raises(NotReadyError):
        _ = ring.has_admin
    aside.rename(path)
    assert ring.stale
    clock.now += 1
    assert not ring.stale
    assert ring.find(secret)


def test_without_a_time_of_grace_no_key_is_taken_at_once(path: Path, clock: Clock) -> None:
    secret = add_key(path)
    ring = KeyRing(path, grace_seconds=0)
    path.unlink()
    clock.now += 1
    with pytest.raises(NotReadyError):
        ring.find(secret)


def test_a_change_that_leaves_size_and_time_as_they_were_is_seen(path: Path, clock: Clock) -> None:
    secret = add_key(path)
    content = path.read_bytes()
    os.utime(path, ns=(10**18, 10**18))
    ring = KeyRing(path)
    path.write_bytes(content.replace(b"alice", b"malic"))
    os.utime(path, ns=(10**18, 10**18))
    clock.now += 1
    found = ring.find(secret)
    assert found is not None
    assert found.name == "malic"


def test_a_file_of_endless_length_is_refused(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(KeyFileError, match=r"keys.json cannot be read \(it is larger than 16 MiB\)"):
        KeyRing(path)


@pytest.mark.parametrize("damage", ["cut", "missing", "foreign"])
def test_a_file_that_became_invalid_leaves_the_keys_and_one_line_in_the_log(
    damage: str, path: Path, clock: Clock
) -> None:
    secret = add_key(path)
    whole = path.read_bytes()
    ring = KeyRing(path)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(whole[:50] if damage == "cut" else b'{"keys": [{"name": "mallory"}]}')
    with capture_logs() as logs:
        for _ in range(5):
            clock.now += 1
            assert ring.find(secret)
    assert [(line["log_level"], line["event"]) for line in logs] == [("error", "API keys stay as they were")]
    assert logs[0]["file"] == str(path)
    assert str(path) in logs[0]["reason"]
    path.write_bytes(whole)
    other = add_key(path, "other")
    with capture_logs() as logs:
        clock.now += 1
        assert ring.find(other)
    assert [(line["log_level"], line["event"], line["keys"]) for line in logs] == [
        ("info", "API keys read", 2)
    ]


def test_where_the_last_key_is_revoked_nobody_is_let_in(path: Path, clock: Clock) -> None:
    secret = add_key(path)
    ring = KeyRing(path)
    key_file.remove(path, "alice")
    clock.now += 1
    assert ring.find(secret) is None
    assert not ring.open
