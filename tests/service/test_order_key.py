"""The secret that orders the mutants: where it is kept, and how replicas share it."""

import errno
import multiprocessing
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.order_key import ServerOrderKey
from service.settings import Settings


def settings(path: Path, **changes: object) -> Settings:
    return Settings.model_validate({"order_key_file": path} | changes)


def key_of(configured: Settings) -> bytes:
    return ServerOrderKey(configured).value


def test_a_given_key_is_taken_and_no_file_is_made(tmp_path: Path) -> None:
    assert key_of(settings(tmp_path / "order.key", order_key="given by the user")) == b"given by the user"
    assert list(tmp_path.iterdir()) == []


def test_the_key_file_is_made_once_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "order.key"
    first = key_of(settings(path))
    assert len(first) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert bytes.fromhex(path.read_text().strip()) == first
    assert key_of(settings(path)) == first
    assert [entry.name for entry in path.parent.iterdir()] == ["order.key"]


def test_two_files_hold_two_keys(tmp_path: Path) -> None:
    assert key_of(settings(tmp_path / "a")) != key_of(settings(tmp_path / "b"))


@pytest.mark.parametrize("content", [b"", b"abcd\n", b"not hex\n", b"\xff\xfe", b"00" * 31])
def test_a_damaged_key_file_is_left_alone_and_the_process_gets_a_key_of_its_own(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "order.key"
    path.write_bytes(content)
    with capture_logs() as logs:
        first, second = key_of(settings(path)), key_of(settings(path))
    assert len(first) == 32
    assert first != second
    assert path.read_bytes() == content
    assert [(entry["log_level"], entry["file"]) for entry in logs] == [("warning", str(path))] * 2


@pytest.mark.parametrize("where", ["file/order.key", "directory"], ids=["unwritable", "unreadable"])
def test_where_no_key_file_can_be_the_process_gets_a_key_and_a_warning(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of a directory")
    (tmp_path / "directory").mkdir()
    with capture_logs() as logs:
        key = key_of(settings(tmp_path / where))
    assert len(key) == 32
    assert [entry["event"] for entry in logs] == ["order key is for this process only"]


def _put_key(path: Path, barrier: Barrier, out: Path) -> None:
    barrier.wait()
    out.write_bytes(key_of(settings(path)))


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    path, barrier = tmp_path / "state" / "order.key", fork.Barrier(4)
    outputs = [tmp_path / f"{number}.out" for number in range(4)]
    processes = [fork.Process(target=_put_key, args=(path, barrier, out), daemon=True) for out in outputs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=20)
    assert {out.read_bytes() for out in outputs} == {bytes.fromhex(path.read_text().strip())}
    assert [entry.name for entry in path.parent.iterdir()] == ["order.key"]


def test_starts_that_share_a_process_id_agree_on_one_key(tmp_path: Path) -> None:
    """Containers on one volume do this, each of them process 1 of its own."""
    for attempt in range(20):
        path, barrier = tmp_path / str(attempt) / "order.key", threading.Barrier(4)

        def load(path: Path = path, barrier: threading.Barrier = barrier) -> bytes:
            barrier.wait(timeout=10)
            return key_of(settings(path))

        with ThreadPoolExecutor(4) as pool:
            keys = {future.result() for future in [pool.submit(load) for _ in range(4)]}
        assert keys == {bytes.fromhex(path.read_text().strip())}
        assert [entry.name for entry in path.parent.iterdir()] == ["order.key"]


@pytest.fixture(params=[errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def no_hard_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system has no hard links, as FAT and some network shares."""

    def refused(self: Path, target: object) -> None:
        raise OSError(request.param, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refused)


def test_without_hard_links_a_start_finds_the_key_of_the_one_before(
    tmp_path: Path, no_hard_links: None
) -> None:
    path = tmp_path / "state" / "order.key"
    with capture_logs() as logs:
        assert key_of(settings(path)) == key_of(settings(path)) == bytes.fromhex(path.read_text().strip())
    assert logs == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["order.key"]


def test_without_hard_links_starts_at_once_agree_on_one_key(tmp_path: Path, no_hard_links: None) -> None:
    for attempt in range(20):
        path, barrier = tmp_path / str(attempt) / "order.key", threading.Barrier(4)

        def load(path: Path = path, barrier: threading.Barrier = barrier) -> bytes:
            barrier.wait(timeout=10)
            return key_of(settings(path))

        with ThreadPoolExecutor(4) as pool:
            keys = {future.result() for future in [pool.submit(load) for _ in range(4)]}
        assert keys == {bytes.fromhex(path.read_text().strip())}
        assert [entry.name for entry in path.parent.iterdir()] == ["order.key"]
