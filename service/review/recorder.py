"""Notes what a person should look at, while its request is answered already."""

import asyncio
import contextlib
import io
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image

from service.answer import Answer
from service.explanation import explain
from service.metrics import Metrics
from service.order_key import OrderKey
from service.redis_link import RedisDownError
from service.review.item import Found
from service.review.queue import ReviewQueue
from service.settings import Settings
from service.suggestion import suggestion
from service.verdict import StoreName, Verdict

# What is noted shares the event loop with requests: under a flood of alarms the queue is full long before.
_PAUSE_SECONDS = 0.005
_AGAIN_SECONDS = 1.0
_MOST_WAITING = 1000
_MOST_WAITING_BYTES = 32 * 2**20


@dataclass(frozen=True)
class _Note:
    answer: Answer
    request_id: str
    at: datetime
    alarm: bool
    sampled: bool
    pixels: NDArray[np.uint8] | None

    @property
    def size(self) -> int:
        return 0 if self.pixels is None else self.pixels.nbytes


class Recorder:
    """Puts alarms, what is undecided, and a sample of everything into the review queue, one after the other.

    While the queue is not to be had they wait here, up to a bound; what goes beyond it is counted as lost.
    """

    def __init__(self, queue: ReviewQueue, key: OrderKey, settings: Settings, metrics: Metrics) -> None:
        """Args: where to, what draws the sample, what to note, and what counts it."""
        self.queue = queue
        self._key, self._settings, self._metrics = key, settings, metrics
        self._waiting: deque[_Note] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._task = asyncio.create_task(self._work(), name="review")

    async def close(self, seconds: float) -> None:
        """Finish what waits, for so long at most."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        with contextlib.suppress(TimeoutError, RedisDownError):
            async with asyncio.timeout(seconds):
                while self._waiting:
                    await self._record_next()
        self._lost(len(self._waiting))

    def note(self, answer: Answer, request_id: str, *, alarm: bool) -> None:
        """Note an answer that a verdict was asked for, if it is one to look at. Takes a few microseconds."""
        share = self._settings.review_sample
        sampled = share > 0 and self._key.draws(share, answer.pixels_key)
        if answer.judgement.verdict == Verdict.NORMAL and not sampled:
            return
        pixels = answer.pixels if self._settings.review_images else None
        note = _Note(answer, request_id, datetime.now(UTC), alarm, sampled, pixels)
        if len(self._waiting) >= _MOST_WAITING or self._bytes + note.size > _MOST_WAITING_BYTES:
            self._lost(1)
            return
        self._waiting.append(note)
        self._bytes += note.size
        self._some.set()

    async def _work(self) -> None:
        while True:
            await self._some.wait()
            try:
                await self._record_next()
            except RedisDownError:
                await asyncio.sleep(_AGAIN_SECONDS)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _record_next(self) -> None:
        if not self._waiting:
            self._some.clear()
            return
        note = self._waiting[0]
        try:
            image = None if note.pixels is None else await asyncio.to_thread(png, note.pixels)
            await self.queue.add(note.answer.pixels_key, _found(note), image)
        except RedisDownError:
            raise  # it stays the first
        except Exception:  # one that cannot be noted does not keep the others from it
            structlog.get_logger().exception("input not queued for review", request_id=note.request_id)
            self._lost(1)
        else:
            self._metrics.review_queued.labels(_reason(note)).inc()
        self._waiting.popleft()
        self._bytes -= note.size

    def _lost(self, count: int) -> None:
        self._metrics.review_lost.inc(count)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of pixels uint8 [H, W, C], one or three channels, lossless."""
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def _reason(note: _Note) -> str:
    if note.alarm:
        return "alarm"
    return "sample" if note.answer.judgement.verdict == Verdict.NORMAL else "undecided"


def _found(note: _Note) -> Found:
    answer = note.answer
    judgement, model = answer.judgement, answer.model
    label, name, share = suggestion(answer, alarm=note.alarm)
    return Found(
        at=note.at,
        request_id=note.request_id,
        store=StoreName(name=model.name, version=model.version),
        label=judgement.label,
        class_name=judgement.class_name,
        confidence=round(judgement.confidence, 6),
        verdict=judgement.verdict,
        undecided_because=judgement.undecided_because,
        adversarial=note.alarm,
        mutants=judgement.mutants,
        decided_by=judgement.decided_by,
        suggested_label=label,
        suggested_class_name=name,
        suggested_share=share,
        policy=model.policy.name,
        sampled=note.sampled,
        explanation=explain(model.policy, judgement),
    )
