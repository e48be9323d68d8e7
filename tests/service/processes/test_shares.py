"""Settings of each process: together they keep to the limits of the server."""

import json
from pathlib import Path

import pytest

from service.processes import shares
from service.processes.shares import as_json, share_of, text_of
from service.settings import Settings


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "available_cores", lambda: 8)
    monkeypatch.setattr(shares, "free_memory", lambda: 32 * 2**30)


def test_the_limits_are_shared_out() -> None:
    share = share_of(Settings(processes=4))
    assert (share.max_in_flight, share.max_connections, share.cache_entries) == (64, 512, 2500)
    assert share.max_bytes_in_flight == 64 * 2**20
    assert (share.threads, share.memory) == (2, 2 * 2**30)
    assert (share.max_images, share.max_body_bytes) == (64, 10 * 2**20)


def test_what_one_process_may_not_hold_is_too_large() -> None:
    share = share_of(Settings(processes=8, max_in_flight=80, max_bytes_in_flight=2**20))
    assert (share.max_in_flight, share.max_images) == (10, 10)
    assert share.max_body_bytes == share.max_bytes_in_flight == 2**17


def test_more_processes_than_cores_have_a_thread_each() -> None:
    assert share_of(Settings(processes=32)).threads == 1


def test_threads_that_are_set_hold_for_each_process() -> None:
    assert share_of(Settings(processes=4, threads=3, decode_threads=5)).threads == 3
    assert share_of(Settings(processes=4, threads=3, decode_threads=5)).decode_threads == 5


def test_the_review_queue_takes_a_redis() -> None:
    assert share_of(Settings(processes=2)).review_entries == 0
    shared = Settings.model_validate({"processes": 2, "redis_url": "redis://localhost"})
    assert share_of(shared).review_entries == shared.review_entries > 0


def test_settings_come_out_of_a_message_as_they_were() -> None:
    given = Settings.model_validate(
        {
            "store": (Path("a"), Path("b")),
            "processes": 2,
            "order_key": "a key for this test only",
            "redis_url": "redis://:hush@localhost:6379/0",
            "memory": "500MB",
            "query_memory": "observe",
            "allowed_hosts": ("guard.example.org",),
            "samples_dir": Path("samples"),
        }
    )
    line = text_of({"settings": as_json(given)})
    assert line.count(b"\n") == 1
    assert Settings.model_validate(json.loads(line)["settings"]) == given
