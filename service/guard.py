"""The guard itself, without a protocol: images in, judgements out."""

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from mutant_store.workers import Workers
from service.answer import Answer, Timings
from service.api_keys import KeyRing
from service.bridge import Bridge
from service.errors import DeadlineError, GuardRequiredError, QueueFullError, TooManyPixelsError
from service.explanation import explain
from service.metrics import Metrics
from service.model import Model
from service.models import Models
from service.outcome import Outcome
from service.prepared import Image, Prepared, prepare
from service.settings import Settings
from service.state import State
from service.tracing import load_tracing
from service.verdict import Explanation, Judgement, UndecidedBecause, Verdict

# How long after the deadline the inference loop may still answer: a run that has begun is not cut short.
_GRACE_SECONDS = 2.0
# Images up to so many bytes that say they hold up to so many pixels are decoded in the event loop.
_SMALL_BYTES, _SMALL_PIXELS = 4096, 4096


class Guard:
    """Stores, policies, and the loops that run them.

    Attributes:
        settings: what was set.
        metrics: what is counted.
        models: the stores that are served.
        keys: who may ask.
        state: what is remembered between requests.
        tracing: where spans of requests go.
        draining: whether it is about to stop: not ready any more, though requests are still taken.
    """

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        """Open the stores and load them on their device.

        Raises:
            StoreError: a store is missing, unfinished, damaged or not signed as the settings require, or has no
                such policy.
            DeviceError: the device asked for is not there.
            KeyFileError: the file of API keys cannot be read.
            TracingError: tracing was asked for and cannot be had.
        """
        self.settings, self.metrics = settings, metrics or Metrics()
        self.keys, self.state = KeyRing(settings.api_keys_file), State(settings, self.metrics)
        self._workers = Workers(settings.threads)
        self.models = Models(settings.store, self._open, settings.grace_seconds)
        for model in self.models:
            self._describe(model)
        self.tracing = load_tracing(settings)
        self.draining = False
        self._preparing = 0
        self._decoders = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")
        self._bridge: tuple[asyncio.AbstractEventLoop, Bridge] | None = None
        self.metrics.watch(
            lambda: sum(model.scheduler.in_flight for model in self.models.everything),
            lambda: sum(model.scheduler.waiting for model in self.models.everything),
        )

    def start(self) -> None:
        """Start the inference loops; within an event loop, those of short runs take turns with it, and what is
        remembered is looked after.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        else:
            self.state.start()
        self.models.start(loop)

    async def close(self) -> None:
        """Finish what is in flight and stop."""
        await self.models.close()
        self._decoders.shutdown()
        if not self.failed:  # a run that hangs has threads that never end
            self._workers.close()
        await self.state.close()
        await asyncio.to_thread(self.tracing.close)

    @property
    def ready(self) -> bool:
        """Whether every store takes requests, and goes on doing so."""
        return not self.draining and all(model.ready for model in self.models)

    def at_the_door(self) -> None:
        """Turn a request away before anything is done for it: under overload what is spent on those that are refused
        is lost to the others.

        Raises:
            QueueFullError: every store has as many requests in flight as it admits.
        """
        if all(model.scheduler.full for model in self.models):
            raise QueueFullError.of(self.settings.max_in_flight)

    @property
    def failed(self) -> bool:
        """Whether an inference loop has failed or hangs: only a restart helps."""
        return any(model.scheduler.failed for model in self.models)

    async def load(self, name: str) -> Model:
        """Serve the current version of a store from now on; no request fails for it.

        Raises:
            UnknownStoreError: there is no store of that name.
            StoreError: the version does not load; the one before goes on.
        """
        model = await self.models.load(name)
        self._describe(model)  # not before it has been accepted
        return model

    async def judge(
        self,
        image: Image,
        *,
        store: str | None = None,
        seconds: float | None = None,
        guarded: bool = True,
    ) -> Answer:
        """Judge an image.

        Args:
            image: an encoded file, or pixels uint8 [H, W, C] at model size.
            store: the store's name; by default the first.
            seconds: how long it may take, at most as long as the settings say.
            guarded: whether mutants are asked; without them the answer is the bare label.

        Raises:
            BadImageError: no image this model takes.
            QueueFullError: too many requests in flight.
            DeadlineError: the deadline passed before the first run, or the loop hangs; or at any time where the
                settings say so.
            NotReadyError: the inference loop is not running.
            UnknownStoreError: there is no store of that name.
            GuardRequiredError: the bare label is not to be had.
        """
        if not guarded and not self.settings.allow_guard_off:
            raise GuardRequiredError(
                "this server gives no label without a verdict; GUARD_ALLOW_GUARD_OFF=true would allow it"
            )
        limit = self.settings.deadline_seconds
        seconds = limit if seconds is None else min(seconds, limit)
        with self.models.lease(store) as model:
            return await self._judge(model, image, seconds, guarded)

    async def _judge(self, model: Model, image: Image, seconds: float, guarded: bool) -> Answer:
        loop = asyncio.get_running_loop()
        deadline, until = time.perf_counter() + seconds, loop.time() + seconds
        try:
            async with asyncio.timeout_at(until) as limit:
                prepared = await self._prepare(image, model)
                if guarded and (kept := await self._look_up(prepared.key)) is not None:
                    return _answer(model, kept, prepared, cached=True)
                future = model.scheduler.submit(
                    prepared.inputs, prepared.order, deadline=deadline, guarded=guarded
                )
                limit.reschedule(until + _GRACE_SECONDS)  # the loop minds the deadline, unless it hangs
                outcome = await self._across(loop).follow(future)
        except (TimeoutError, DeadlineError) as error:
            raise DeadlineError(f"no verdict within {seconds:g} s; try again") from error
        judgement = model.judgement(outcome, prepared.order)
        self.metrics.observe(outcome)
        if guarded:
            await self._keep(prepared.key, judgement, seconds)
        return _answer(model, judgement, prepared, outcome, guarded=guarded)

    def judge_now(self, body: bytes) -> tuple[Answer, float]:
        """The same for callers without an event loop: not cached, no deadline; the second value is seconds."""
        started, model = time.perf_counter(), self.models.default
        prepared = prepare(body, model, self.settings.max_pixels)
        outcome = model.scheduler.submit(prepared.inputs, prepared.order).result()
        answer = _answer(model, model.judgement(outcome, prepared.order), prepared, outcome)
        return answer, time.perf_counter() - started

    def answered(self, answer: Answer, request_id: str) -> None:
        """Count an answer that was given, and remember its verdict."""
        self.metrics.answered(answer)
        if answer.guarded:
            self.state.answered(answer, request_id, alarm=self.is_alarm(answer.judgement.verdict))

    def explain(self, answer: Answer) -> Explanation:
        """How the test of an answer of this guard went, kept or not."""
        return explain(answer.model.policy, answer.judgement)

    def is_alarm(self, verdict: Verdict) -> bool:
        """Whether a verdict counts as an alarm under the settings."""
        return verdict == Verdict.ADVERSARIAL or (
            verdict == Verdict.UNDECIDED and self.settings.alarm_on_undecided
        )

    def _open(self, path: Path, before: Model | None) -> Model:
        return Model(
            path, self.settings, self.metrics, key=self.state.key, workers=self._workers, before=before
        )

    def _describe(self, model: Model) -> None:
        self.metrics.describe(model.store, model.policy, undecided=self.settings.alarm_on_undecided)

    def _across(self, loop: asyncio.AbstractEventLoop) -> Bridge:
        """From threads to this loop."""
        if self._bridge is None or self._bridge[0] is not loop:
            self._bridge = loop, Bridge(loop)
        return self._bridge[1]

    async def _prepare(self, image: Image, model: Model) -> Prepared:
        """Prepare in a thread; what waits for one is bounded like what is in flight."""
        if self._preparing >= self.settings.max_in_flight:
            raise QueueFullError(
                f"{self._preparing} images wait to be decoded already; try again in a moment"
            )
        self._preparing += 1
        try:
            prepared = self._prepare_at_once(image, model)
            if prepared is None:
                future = self._decoders.submit(prepare, image, model, self.settings.max_pixels)
                prepared = await self._across(asyncio.get_running_loop()).follow(future)
        finally:
            self._preparing -= 1
        self.metrics.stage_duration.labels("decode").observe(prepared.seconds)
        return prepared

    def _prepare_at_once(self, image: Image, model: Model) -> Prepared | None:
        """What is so small that decoding takes less than handing it to a thread; None where it is not."""
        size = len(image) if isinstance(image, bytes) else image.size
        if size > _SMALL_BYTES or self.settings.inline_ms == 0:
            return None
        try:
            return prepare(image, model, min(_SMALL_PIXELS, self.settings.max_pixels))
        except TooManyPixelsError:
            return None

    async def _look_up(self, key: str) -> Judgement | None:
        if self.state.cache is None:
            return None
        found = None
        kept = await self.state.cache.get(key)
        if kept is not None:
            with contextlib.suppress(ValidationError):
                found = Judgement.model_validate_json(kept)
        self.metrics.cache_requests.labels("miss" if found is None else "hit").inc()
        return found

    async def _keep(self, key: str, judgement: Judgement, seconds: float) -> None:
        """Cache a judgement, unless the deadline ended it: that depends on load.

        Raises:
            DeadlineError: it did, and the settings want an error then.
        """
        if judgement.undecided_because == UndecidedBecause.DEADLINE:
            if self.settings.on_deadline == "error":
                raise DeadlineError(f"no verdict within {seconds:g} s; try again")
        elif self.state.cache is not None:
            await self.state.cache.put(key, judgement.model_dump_json().encode())


def _answer(
    model: Model,
    judgement: Judgement,
    prepared: Prepared,
    outcome: Outcome | None = None,
    *,
    guarded: bool = True,
    cached: bool = False,
) -> Answer:
    queue, mutants = (outcome.queue_seconds, outcome.run_seconds) if outcome else (0.0, 0.0)
    timings = Timings(prepared.seconds, queue, mutants)
    return Answer(
        model,
        judgement,
        guarded,
        cached,
        timings,
        prepared.body_sha256,
        prepared.key,
        prepared.pixels,
    )
