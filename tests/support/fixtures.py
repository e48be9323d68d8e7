"""Fixtures that the tests of the library and of the service share: a digits store, and what they are run with."""

import logging
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from PIL.Image import Image as PillowImage
from redis import Redis

from benchmarks.serving.redis_server import RedisServer
from mutant_guard.images.decoding import decode_whole
from mutant_guard.store.reader import Store, load_store
from tests.mutant_guard.runtime.scheduling.driving import Inputs
from tests.support.service import HeldSession, digits, order_of


@pytest.fixture(scope="session")
def digits_store(demo_store: Path) -> Path:
    """Directory of a store of 60 mutants, not to be changed by tests."""
    return demo_store


@pytest.fixture(scope="session")
def published_store(demo_store: Path) -> tuple[Path, Store]:
    """Directory of a store, not to be changed by tests, and its opened version."""
    return demo_store, load_store(demo_store)


@pytest.fixture(scope="session")
def store(digits_store: Path) -> Store:
    """Its opened version."""
    return load_store(digits_store)


@pytest.fixture(scope="session")
def inputs(digits_store: Path, store: Store) -> Inputs:
    """100 clean digits, 100 a little noisy, 100 hardly to be read."""
    images = np.concatenate([digits(100), digits(100, noise=0.3), digits(100, noise=0.6)])[..., None]
    tensors = store.manifest.input.tensor(images)
    order = order_of(digits_store)
    labels = store.session(threads=1).labels(tensors, np.arange(store.manifest.mutants + 1))
    return Inputs(tensors, [order.mutants(image) for image in images], labels)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No GUARD_ variable of whoever runs the tests reaches them, and no key file is left behind."""
    for name in [name for name in os.environ if name.startswith("GUARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GUARD_ORDER_KEY_FILE", str(tmp_path / "state" / "order.key"))


@pytest.fixture
def held_guard_session(digits_store: Path, monkeypatch: pytest.MonkeyPatch) -> HeldSession:
    """What the next guard runs on: the store's bank, held until it is released."""
    session = HeldSession.of(digits_store)
    monkeypatch.setattr("mutant_guard.runtime.model.load_engine", lambda store, **_: session)
    monkeypatch.setattr("mutant_guard.guard.probe", lambda model: None)  # the test alone lets runs go
    return session


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Commands configure structlog and the root logger for the process."""
    handlers = logging.getLogger().handlers.copy()
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


@pytest.fixture
def held_decoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Decoding waits until this is set, but for the self-test of a store, which is left out."""
    let_go = threading.Event()

    def held(*args: Any) -> PillowImage:
        let_go.wait(10)
        return decode_whole(*args)

    monkeypatch.setattr("mutant_guard.runtime.prepared.decode_whole", held)
    monkeypatch.setattr("mutant_guard.guard.probe", lambda model: None)
    yield let_go
    let_go.set()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, for faults; not started yet."""
    server = RedisServer(_redis_binary(), tmp_path)
    yield server
    server.kill()


@pytest.fixture(scope="session")
def _session_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(_redis_binary(), tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def running_redis(_session_redis: RedisServer) -> RedisServer:
    """The Redis that tests share, running and empty; not to be stopped."""
    with Redis.from_url(_session_redis.url) as redis:
        redis.flushall()
    return _session_redis


def _redis_binary() -> str:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    return binary


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is looked at often, so that a test need not wait for it to be found."""
    monkeypatch.setattr("service.redis.link._LOOK_SECONDS", 0.02)
    monkeypatch.setattr("service.review.recorder._AGAIN_SECONDS", 0.02)
