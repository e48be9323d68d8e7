"""Helpers for tests of the online half: image files, running guards, and a held bank."""

import asyncio
import io
import socket
import struct
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import numpy as np
from httpx import ASGITransport, AsyncClient
from numpy.typing import NDArray
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.views import Inputs
from mutant_guard.runtime.answer import Answer
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.runtime.order import Order
from mutant_guard.store.reader import load_store
from mutant_store.datasets import load
from service.guard_service import GuardService
from service.http.app import create_app
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.observer import ServerObserver

KEY = "a key for tests only"
LOGGING = ServerObserver(Metrics(), alarm_on_undecided=False)
"""Observer that logs a guard's events, as the server does."""

# Fields of an answer, in this order.
FIELDS = [
    "request_id",
    "store",
    "label",
    "class_name",
    "confidence",
    "verdict",
    "undecided_because",
    "adversarial",
    "mutants",
    "label_changes",
    "label_change_rate",
    "doubt",
    "decided_by",
    "suggested_label",
    "suggested_class_name",
    "suggested_share",
    "policy",
    "error_bounds",
    "cached",
    "elapsed_ms",
]


def digits(count: int, *, noise: float = 0.0) -> NDArray[np.uint8]:
    """Return the first ``count`` images of the digits' test split, uint8 [count, 8, 8].

    They are blended with noise, by a share from 0 to 1.
    """
    images = load("digits@test").images[:count, :, :, 0]
    drawn = np.random.default_rng(5).integers(0, 256, images.shape)
    return np.rint((1 - noise) * images + noise * drawn).astype(np.uint8)


def encode(pixels: NDArray[np.uint8] | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return an image file of pixels [H, W] or [H, W, 3], or of an image."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    checksum = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + checksum


def png_of_size(width: int, height: int, data: bytes = b"") -> bytes:
    """Return a PNG of one bit a pixel that claims this size, whatever its data says."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def webp_of_size(width: int, height: int) -> bytes:
    """Return a WebP whose canvas claims this size, around a frame of 8×8."""
    frame = encode(np.zeros((8, 8, 3), np.uint8), "WEBP", lossless=True)[12:]
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    payload = bytes(6) + (7).to_bytes(3, "little") * 2 + (100).to_bytes(3, "little") + b"\0" + frame
    chunks = b"".join(
        kind + struct.pack("<I", len(content)) + content
        for kind, content in ((b"VP8X", b"\x02\0\0\0" + canvas), (b"ANIM", bytes(6)), (b"ANMF", payload))
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def settings_for(*stores: Path, **changes: object) -> Settings:
    """Return settings for tests, with any of them changed.

    By default they have one CPU thread, a fixed key, fixed runs in a thread of their own, and no
    cache.
    """
    fixed = {
        "store": stores,
        "order_key": KEY,
        "device": "cpu",
        "threads": 1,
        "batch_rows": 64,
        "max_batch_rows": 512,
        "inline_ms": 0.0,
        "cache_seconds": 0.0,
    }
    return Settings.model_validate(fixed | changes)


def said(answer: Answer) -> tuple[Judgement, bool]:
    """Return the judgement of an answer, and whether it was kept for an earlier request."""
    return answer.judgement, answer.cached


class PassedOn(BankSession):
    """Bank that passes calls on to another bank. Subclasses override what differs."""

    def __init__(self, asked: BankSession) -> None:
        self._asked = asked
        self.runs, self.seconds = 0, 0.0
        self.feature_bytes, self.classes = asked.feature_bytes, asked.classes

    @property
    def provider(self) -> str:
        return self._asked.provider

    def features(self, images: Inputs) -> list[NDArray[np.float32]]:
        return self._asked.features(images)

    def images_together(self, most: int, *, more_bytes: int = 0) -> int:
        return self._asked.images_together(most, more_bytes=more_bytes)


class HeldSession(PassedOn):
    """Bank whose runs wait until they are released, and fail if told to."""

    def __init__(self, held: BankSession) -> None:
        super().__init__(held)
        self._gate = threading.Event()
        self.entered = threading.Event()
        self.failure: Exception | None = None

    @classmethod
    def of(cls, store: Path) -> "HeldSession":
        """Return the held bank of a store's current version."""
        return cls(load_store(store).session(threads=1))

    def hold(self) -> None:
        """Hold further runs, and forget that one has entered."""
        self._gate.clear()
        self.entered.clear()

    def release(self) -> None:
        """Release the run that waits, and all later ones."""
        self._gate.set()

    def scores(
        self,
        features: Sequence[NDArray[np.float32]],
        image_index: NDArray[np.int64],
        mutant_index: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        self.entered.set()
        if not self._gate.wait(timeout=10):
            raise TimeoutError("nobody let the run go")
        if self.failure is not None:
            raise self.failure
        self.runs += 1
        return self._asked.scores(features, image_index, mutant_index)


class NotFiniteSession(PassedOn):
    """Bank of a store in which some scores are not finite."""

    def __init__(self, store: Path, value: float, *, original: bool = False, mutant: int = 0) -> None:
        """Put a value into one score of a row.

        Args:
            store: directory of the store.
            value: the value, NaN or infinite.
            original: whether it is in the original's scores of every image.
            mutant: number of the mutant whose scores hold it; 0 for none.
        """
        super().__init__(load_store(store).session(threads=1))
        self._value, self._original, self._mutant = value, original, mutant

    def features(self, images: Inputs) -> list[NDArray[np.float32]]:
        found = self._asked.features(images)
        if self._original:
            found[-1][:, 4] = self._value
        return found

    def scores(
        self,
        features: Sequence[NDArray[np.float32]],
        image_index: NDArray[np.int64],
        mutant_index: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        found = self._asked.scores(features, image_index, mutant_index)
        if self._mutant:
            found[mutant_index == self._mutant, 4] = self._value
        return found


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[GuardService]:
    """Yield a guard with a running loop."""
    guard = GuardService(settings)
    guard.start()
    try:
        yield guard
    finally:
        await guard.close()


@asynccontextmanager
async def serving(guard: GuardService, *, raise_errors: bool = True) -> AsyncIterator[AsyncClient]:
    """Yield a client of the application that serves a guard, without sockets."""
    app = create_app(guard)
    transport = ASGITransport(app, raise_app_exceptions=raise_errors)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client


async def until(condition: Callable[[], bool]) -> None:
    """Wait until another thread makes a condition true."""
    with anyio.fail_after(10):
        while not condition():
            await asyncio.sleep(0.002)


def samples(exposition: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the samples in a text of ``/metrics``, as value by sample name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


def order_of(store: Path, key: str = KEY) -> Order:
    """Return the order of a guard with this store and key."""
    manifest = load_store(store).manifest
    return Order(key.encode(), pool=manifest.mutants, decks=manifest.decks)


class Clock:
    """Stand-in for a module's ``time``, so that only that module's clock is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        return self.now


def free_port() -> int:
    """Return a TCP port of the loopback that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def silent_listener() -> Iterator[int]:
    """Yield a port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield int(listener.getsockname()[1])
