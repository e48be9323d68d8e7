"""Recorder of what a person should look at; it works after the request is answered."""

import asyncio
import contextlib
import io
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image

from mutant_guard.runtime.answer import Answer
from mutant_guard.wire.verdict import StoreName, Verdict
from service.order_key import ServerOrderKey
from service.redis.link import RedisDownError, RedisRefusedError
from service.review.item import Found
from service.review.queue import ReviewQueue
from service.settings import Settings
from service.telemetry.metrics import Metrics

# Recording shares the event loop with requests, hence the pause. Under a flood of alarms the queue
# is full long before the pause matters.
_PAUSE_SECONDS = 0.005
_AGAIN_SECONDS = 1.0
_MOST_WAITING = 1000
_MOST_WAITING_BYTES = 32 * 2**20


@dataclass
class _Note:
    """Input that waits to be queued.

    It holds neither the model, which may have been replaced since, nor pixels that are not needed.
    """

    found: Found
    pixels: NDArray[np.uint8] | None
    size: int  # of the pixels, in bytes
    count: int = 1


class Recorder:
    """Recorder that queues alarms, undecided inputs, one input of every campaign of queries, and a
    sample of all inputs, one by one.

    While the queue cannot be reached they wait here, up to a bound; what goes beyond it is counted
    as lost. The same pixels wait once, however often they came: a caller who repeats one alarm does
    not take the room of the others.
    """

    def __init__(self, queue: ReviewQueue, key: ServerOrderKey, settings: Settings, metrics: Metrics) -> None:
        """Record into a queue.

        Args:
            queue: review queue.
            key: order key, which draws the sample.
            settings: settings that say what to record.
            metrics: metrics to count in.
        """
        self.queue = queue
        self._key, self._settings, self._metrics = key, settings, metrics
        self._waiting: OrderedDict[str, _Note] = OrderedDict()
        self._bytes = 0
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to work in the running event loop."""
        self._task = asyncio.create_task(self._work(), name="review")

    async def close(self, seconds: float) -> None:
        """Record what still waits, and count the rest as lost.

        Args:
            seconds: longest time this may take.
        """
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        with contextlib.suppress(TimeoutError, RedisDownError):
            async with asyncio.timeout(seconds):
                while self._waiting:
                    await self._record_next()
        self._lost(len(self._waiting))

    def note(self, answer: Answer, request_id: str, *, probing: bool = False) -> None:
        """Note an answer with a verdict, if a person should look at it.

        A new input takes some 50 µs.

        Args:
            answer: the answer.
            request_id: id of its request.
            probing: whether a campaign was found by it; a person should then look at it, whatever
                its verdict.
        """
        key, share = answer.pixels_key, self._settings.review_sample
        sampled = share > 0 and self._key.draws(share, key)
        if answer.judgement.verdict == Verdict.NORMAL and not (sampled or probing):
            return
        if (same := self._waiting.get(key)) is not None:
            same.count += 1
            return
        pixels = answer.pixels if self._settings.review_images else None
        size = 0 if pixels is None else pixels.nbytes
        if len(self._waiting) >= _MOST_WAITING or self._bytes + size > _MOST_WAITING_BYTES:
            self._lost(1)
            return
        self._waiting[key] = _Note(_found(answer, request_id, sampled=sampled, probing=probing), pixels, size)
        self._bytes += size
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
        key, note = next(iter(self._waiting.items()))
        count = note.count
        try:
            image = None if note.pixels is None else await asyncio.to_thread(png, note.pixels)
            new = await self.queue.add(key, note.found, image, count)
        except RedisRefusedError:  # logged where Redis was asked; asking again is of no use
            self._lost(1)
            count = note.count
        except RedisDownError:
            raise  # the input stays the first
        except Exception:  # one faulty input must not hold up the others
            structlog.get_logger().exception("input not queued for review", request_id=note.found.request_id)
            self._lost(1)
            count = note.count
        else:
            if new:
                self._metrics.review_queued.labels(_reason(note.found)).inc()
        note.count -= count
        if note.count:  # the input came again meanwhile
            self._waiting.move_to_end(key)
            return
        del self._waiting[key]
        self._bytes -= note.size

    def _lost(self, count: int) -> None:
        self._metrics.review_lost.inc(count)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode pixels uint8 [H, W, C], of one or three channels, as a lossless PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def _reason(found: Found) -> str:
    if found.probing:
        return "probing"
    if found.adversarial:
        return "alarm"
    return "sample" if found.verdict == Verdict.NORMAL else "undecided"


def _found(answer: Answer, request_id: str, *, sampled: bool, probing: bool) -> Found:
    judgement, model = answer.judgement, answer.model
    share = answer.suggested_share
    return Found(
        at=datetime.now(UTC),
        request_id=request_id,
        store=StoreName(name=model.name, version=model.version),
        label=judgement.label,
        class_name=judgement.class_name,
        confidence=round(judgement.confidence, 6),
        verdict=judgement.verdict,
        undecided_because=judgement.undecided_because,
        adversarial=answer.adversarial,
        mutants=judgement.mutants,
        decided_by=judgement.decided_by,
        suggested_label=answer.suggested_label,
        suggested_class_name=answer.suggested_class_name,
        suggested_share=None if share is None else round(share, 6),
        policy=model.policy.name,
        sampled=sampled,
        probing=probing,
        explanation=answer.explain(prove=False),
    )
