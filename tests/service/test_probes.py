"""Probes under overload: they are answered, and no long work holds the event loop.

``python -m benchmarks overload`` measures how soon they are answered then.
"""

import hashlib
import threading
import zlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import PIL.Image
import pytest
from PIL import ImageFile, WebPImagePlugin

from benchmarks.load.plan import Plan
from benchmarks.load.process import LoadProcess
from evaluation.server import free_port, serving
from service.guard_service import GuardService
from tests.support.service import KEY, digits, encode, png_of_size, settings_for
from tests.support.service import serving as serving_here

pytestmark = pytest.mark.timing

CONNECTIONS, SECONDS = 32, 2.5
SIDE = 4096


def test_probes_and_requests_are_answered_under_load(digits_store: Path) -> None:
    bodies = [encode(image) for image in digits(64, noise=0.3)]
    probes = free_port()
    settings = {"order_key": KEY, "cache_seconds": "0", "threads": "1", "probe_port": str(probes)}
    statuses: Counter[tuple[int, str, int]] = Counter()
    with serving(digits_store, policy="calibrated", **settings) as server:
        load = LoadProcess(Plan(server.port, "/classify", bodies, CONNECTIONS, SECONDS))
        while load.running:
            for port in (server.port, probes):
                for path in ("/livez", "/readyz"):
                    answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30)
                    statuses[port, path, answer.status_code] += 1
        report = load.result()
    expected = {(port, path, 200) for port in (server.port, probes) for path in ("/livez", "/readyz")}
    assert statuses.keys() == expected
    assert min(statuses.values()) >= 2
    assert report.statuses.keys() == {200}
    assert report.ok > CONNECTIONS
    assert (report.lost, report.refused, report.unsent) == (0, 0, 0)


class Threads:
    """Recorder of the threads that load images and hash bodies."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loaded: set[int] = set()
        self.hashed: set[int] = set()
        for owner in (ImageFile.ImageFile, WebPImagePlugin.WebPImageFile):
            monkeypatch.setattr(owner, "load", self._noted(self.loaded, owner.load))
        monkeypatch.setattr(PIL.Image, "frombytes", self._noted(self.loaded, PIL.Image.frombytes))
        hashing = SimpleNamespace(sha256=self._noted(self.hashed, hashlib.sha256))
        monkeypatch.setattr("mutant_guard.runtime.prepared.hashlib", hashing)

    def _noted(self, threads: set[int], function: Any) -> Any:
        def noted(*args: Any) -> Any:
            threads.add(threading.get_ident())
            return function(*args)

        return noted


def large_png() -> bytes:
    """Return a PNG of 16 megapixels in 2 KB."""
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + SIDE // 8)) for _ in range(SIDE)) + rows.flush()
    return png_of_size(SIDE, SIDE, data)


def noisy(kind: str) -> bytes:
    """Return an image file of more bytes than pixels."""
    return encode(np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8), kind, quality=100)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body",
    [large_png(), encode(digits(1)[0]) + bytes(5 << 20), *(noisy(kind) for kind in ("PNG", "JPEG", "WEBP"))],
    ids=["16 megapixels", "5 megabytes", "png", "jpeg", "webp"],
)
async def test_what_is_large_is_loaded_and_hashed_beside_the_event_loop(
    body: bytes, digits_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving_here(GuardService(settings_for(digits_store, inline_ms=5.0))) as client:
        threads = Threads(monkeypatch)
        answer = await client.post("/classify", content=body)
    assert answer.status_code in (200, 422)
    assert threads.loaded
    assert threading.get_ident() not in threads.loaded
    if len(body) > 4096:
        assert threading.get_ident() not in threads.hashed


@pytest.mark.anyio
async def test_what_is_tiny_is_loaded_and_hashed_in_the_event_loop(
    digits_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above would see nothing otherwise."""
    async with serving_here(GuardService(settings_for(digits_store, inline_ms=5.0))) as client:
        threads = Threads(monkeypatch)
        assert (await client.post("/classify", content=encode(digits(1)[0]))).status_code == 200
    assert threads.loaded == threads.hashed == {threading.get_ident()}
