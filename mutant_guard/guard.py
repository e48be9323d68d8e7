"""The guard itself, without a protocol: images in, answers out."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from math import inf
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image as PillowImage
from pydantic import ValidationError

from mutant_guard.bank.workers import Workers
from mutant_guard.errors import DeadlineError, QueueFullError, TooManyPixelsError
from mutant_guard.images.decoding import Image
from mutant_guard.runtime.answer import Answer, Timings
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.runtime.model import Model
from mutant_guard.runtime.observer import SILENT, Observer
from mutant_guard.runtime.options import MAX_PIXELS, Device, OnDeadline, Options
from mutant_guard.runtime.order import OrderKey, drawn_key, key_in_file
from mutant_guard.runtime.prepared import Prepared, prepare
from mutant_guard.runtime.registry import ModelRegistry
from mutant_guard.runtime.scheduling.bridge import Bridge
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.runtime.verdict_cache import VerdictCache
from mutant_guard.wire.verdict import UndecidedBecause, Verdict

GivenImage = bytes | bytearray | memoryview | str | PathLike[str] | PillowImage | NDArray[np.uint8]
"""An image as callers give it: an encoded file, the path of one, a Pillow image, or pixels uint8 [H, W, C]."""

# How long after the deadline the inference loop may still answer: a run that has begun is not cut short.
_GRACE_SECONDS = 2.0
# Images up to so many bytes that say they hold up to so many pixels are decoded in the event loop.
_SMALL_BYTES, _SMALL_PIXELS = 4096, 4096
# Images of classify_many that are under way at the same time, at most.
_TOGETHER = 64


class Guard:
    """Mutant stores, their policies, and the loops that run them.

    Reads no environment variable, writes no log line, and no file but an ``order_key_file`` that is not there yet.
    Every method may be called from any thread; ``aclassify`` from any event loop.

    Example:
        ```python
        with Guard("stores/mine") as guard:
            answer = guard.classify(Path("digit.png"))
            print(answer.class_name, answer.verdict, answer.mutants)
        ```

    Attributes:
        options: how the stores are run.
        models: the stores that are loaded, by name.
        cache: where ``aclassify`` keeps judgements; None for nowhere.
        order_key: the secret that orders the mutants.
    """

    def __init__(
        self,
        *stores: str | PathLike[str],
        policy: str = "calibrated",
        max_mutants: int | None = None,
        alarm_on_undecided: bool = False,
        order_key: bytes | str | OrderKey | None = None,
        order_key_file: str | PathLike[str] | None = None,
        require_signature: str | PathLike[str] | None = None,
        device: Device = "auto",
        threads: int = 0,
        batch_rows: int | None = None,
        max_batch_rows: int | None = None,
        inline_ms: float = 5.0,
        max_in_flight: int = 256,
        deadline_seconds: float | None = None,
        on_deadline: OnDeadline = "undecided",
        grace_seconds: float = 20.0,
        max_pixels: int = MAX_PIXELS,
        decode_threads: int = 2,
        cache: VerdictCache | None = None,
        observer: Observer = SILENT,
    ) -> None:
        """Open the stores, check every file of them, and load them on their device.

        Args:
            stores: directories of mutant stores (the ones that hold ``CURRENT``); the first is the default.
            policy: name of the policy of the verdict: ``calibrated``, ``fixed`` or ``paper``.
            max_mutants: most mutants an image may use; what the policy has not decided by then is undecided.
            alarm_on_undecided: whether an undecided verdict counts as an alarm.
            order_key: secret that orders the mutants, 16 bytes or characters or more; guards that share it give the
                same verdicts. By default a new one is drawn, and the next guard may meet other orders.
            order_key_file: file that holds this secret; it is made, readable by its owner alone, where there is none.
            require_signature: public key (PEM, Ed25519) that must have signed every store.
            device: where the mutants run: ``cuda``, ``cpu``, or ``auto`` for CUDA if it is there.
            threads: CPU threads of all stores together; 0 for the cores this process may use.
            batch_rows: rows that a run is filled up to while few images are in flight; None to measure it.
            max_batch_rows: most rows of a run; None to measure it.
            inline_ms: see ``Options``.
            max_in_flight: most images admitted at the same time; one more is a QueueFullError.
            deadline_seconds: most seconds an image may take; None for no limit.
            on_deadline: what an image past its deadline gets if some mutants were evaluated for it.
            grace_seconds: most seconds that images in flight may take to finish when the guard is closed.
            max_pixels: most pixels of an image as it comes. Pillow's own limit, ``PIL.Image.MAX_IMAGE_PIXELS``,
                holds as well.
            decode_threads: threads that decode images for ``aclassify`` and ``classify_many``.
            cache: where ``aclassify`` keeps judgements.
            observer: told of every step, for counting and logging.

        Raises:
            ValueError: no store is named, or the order key is given twice or too short.
            StoreError: a store is missing, unfinished, damaged or not signed as it has to be, has no such policy, or
                two have the same name.
            DeviceError: the device asked for is not there.
            OrderKeyError: the file of the order key can be neither read nor made.
        """
        if not stores:
            raise ValueError("name at least one store: Guard('stores/mine')")
        self.options = Options(
            policy=policy,
            max_mutants=max_mutants,
            alarm_on_undecided=alarm_on_undecided,
            require_signature=None if require_signature is None else Path(require_signature),
            device=device,
            threads=threads,
            batch_rows=batch_rows,
            max_batch_rows=max_batch_rows,
            inline_ms=inline_ms,
            max_in_flight=max_in_flight,
            deadline_seconds=deadline_seconds,
            on_deadline=on_deadline,
            grace_seconds=grace_seconds,
            max_pixels=max_pixels,
            decode_threads=decode_threads,
        )
        self.cache = cache
        self.order_key = _order_key(order_key, order_key_file)
        self._observer = observer
        self._workers = Workers(threads)
        paths = tuple(Path(store) for store in stores)
        self.models = ModelRegistry(paths, self._open, grace_seconds, self._observer)
        self._preparing = 0
        self._decoders = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")
        self._bridge: tuple[asyncio.AbstractEventLoop, Bridge] | None = None

    def __enter__(self) -> Self:
        """Return the guard."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the guard."""
        self.close()

    async def __aenter__(self) -> Self:
        """Return the guard."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the guard."""
        await self.aclose()

    def start(self, event_loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Start the inference loops now; by default the first image does.

        Args:
            event_loop: the loop that calls ``aclassify``. Runs of small networks (up to ``inline_ms``) then take
                turns with it in its thread, which is faster than handing images to another thread and back;
                ``classify`` must not be called in that thread any more.
        """
        self.models.start(event_loop)

    def close(self) -> None:
        """Finish what is in flight, and let go of threads and memory."""
        self.models.close()
        self._decoders.shutdown()
        if not self.failed:  # a run that hangs has threads that never end
            self._workers.close()

    async def aclose(self) -> None:
        """Close the guard without holding up the event loop."""
        await asyncio.to_thread(self.close)

    @property
    def ready(self) -> bool:
        """Whether every store takes images."""
        return all(model.ready for model in self.models)

    @property
    def full(self) -> bool:
        """Whether every store has as many images in flight as it admits."""
        return all(model.scheduler.full for model in self.models)

    @property
    def failed(self) -> bool:
        """Whether an inference loop has failed or hangs: only another guard helps."""
        return any(model.scheduler.failed for model in self.models)

    def load(self, store: str) -> Model:
        """Use the current version of a store from now on; images in flight end with the version they began with.

        Args:
            store: name of the store.

        Raises:
            UnknownStoreError: there is no store of that name.
            StoreError: the version does not load; the one before goes on.
        """
        return self.models.load(store)

    def classify(
        self,
        image: GivenImage,
        *,
        store: str | None = None,
        timeout: float | None = None,
        guarded: bool = True,
    ) -> Answer:
        """Classify an image and say whether to trust the label; blocks until the answer is there.

        Args:
            image: an encoded PNG, JPEG or WebP file, the path of one, a Pillow image, or pixels uint8 [H, W, C].
            store: name of the store; by default the first.
            timeout: most seconds this may take, if that is less than ``deadline_seconds``.
            guarded: whether mutants are asked; without them the answer is the bare label.

        Raises:
            BadImageError: the image cannot be read, or the model takes no such image.
            QueueFullError: too many images are in flight.
            DeadlineError: the time was over before the first run (at any time with ``on_deadline="error"``).
            NotReadyError: the guard is closed, or its inference loop has failed.
            UnknownStoreError: there is no store of that name.
            OSError: the file cannot be read.
            RuntimeError: this is the thread of the event loop that the guard was started with.
        """
        self.start()
        seconds = self._seconds(timeout)
        deadline = time.perf_counter() + seconds
        with self.models.lease(store) as model:
            _refuse_own_loop(model)
            prepared = prepare(_taken(image), model, self.options.max_pixels)
            self._observer.decoded(prepared.seconds)
            future = model.scheduler.submit(
                prepared.inputs, prepared.order, deadline=deadline, guarded=guarded
            )
            return self._answered(model, prepared, _result(future, deadline, seconds), seconds, guarded)

    def classify_many(
        self, images: Iterable[GivenImage], *, store: str | None = None, timeout: float | None = None
    ) -> Iterator[Answer]:
        """Classify many images that share runs of the mutants; yields their answers in their order.

        Images are taken as they are needed, so there may be any number of them.

        Args:
            images: each as for ``classify``.
            store: name of the store; by default the first.
            timeout: most seconds an image may take from when it is taken, if less than ``deadline_seconds``.

        Raises:
            GuardError: as for ``classify``, in the place of the image's answer; what is under way is dropped.
        """
        self.start()
        seconds, together = self._seconds(timeout), min(_TOGETHER, self.options.max_in_flight)
        with self.models.lease(store) as model:
            _refuse_own_loop(model)
            ahead = max(1, together // 2)
            decoding: deque[Future[Prepared]] = deque()
            running: deque[tuple[Prepared, float, Future[Outcome]]] = deque()
            coming = iter(images)
            try:
                while True:
                    while len(decoding) < ahead and (image := next(coming, None)) is not None:
                        decoding.append(
                            self._decoders.submit(prepare, _taken(image), model, self.options.max_pixels)
                        )
                    # Whatever is decoded joins the next run; only where nothing runs is the next image waited for.
                    while decoding and len(running) < together and (decoding[0].done() or not running):
                        prepared = decoding.popleft().result()
                        self._observer.decoded(prepared.seconds)
                        deadline = time.perf_counter() + seconds
                        future = model.scheduler.submit(prepared.inputs, prepared.order, deadline=deadline)
                        running.append((prepared, deadline, future))
                    if not running:
                        return
                    prepared, deadline, future = running.popleft()
                    outcome = _result(future, deadline, seconds)
                    yield self._answered(model, prepared, outcome, seconds, guarded=True)
            finally:
                for waiting in decoding:
                    waiting.cancel()
                for _, _, future in running:
                    future.cancel()

    async def aclassify(
        self,
        image: GivenImage,
        *,
        store: str | None = None,
        timeout: float | None = None,
        guarded: bool = True,
    ) -> Answer:
        """Classify an image without holding up the event loop; arguments and errors are those of ``classify``.

        Cancelling it takes the image out of the next run.
        """
        self.start()
        seconds = self._seconds(timeout)
        with self.models.lease(store) as model:
            return await self._aclassify(model, _taken(image), seconds, guarded)

    async def _aclassify(self, model: Model, image: Image, seconds: float, guarded: bool) -> Answer:
        loop = asyncio.get_running_loop()
        deadline = time.perf_counter() + seconds
        until = None if seconds == inf else loop.time() + seconds
        try:
            async with asyncio.timeout_at(until) as limit:
                prepared = await self._prepare(image, model)
                if guarded and (kept := await self._look_up(prepared.key)) is not None:
                    return self._answer(model, kept, prepared, cached=True)
                future = model.scheduler.submit(
                    prepared.inputs, prepared.order, deadline=deadline, guarded=guarded
                )
                if until is not None:
                    limit.reschedule(until + _GRACE_SECONDS)  # the loop minds the deadline, unless it hangs
                outcome = await self._across(loop).follow(future)
        except (TimeoutError, DeadlineError) as error:
            raise _late(seconds) from error
        answer = self._answered(model, prepared, outcome, seconds, guarded)
        kept_for_good = answer.undecided_because != UndecidedBecause.DEADLINE
        if guarded and self.cache is not None and kept_for_good:
            await self.cache.put(prepared.key, answer.judgement.model_dump_json().encode())
        return answer

    def _seconds(self, timeout: float | None) -> float:
        limit = self.options.deadline_seconds
        return min(inf if timeout is None else timeout, inf if limit is None else limit)

    def _answered(
        self, model: Model, prepared: Prepared, outcome: Outcome, seconds: float, guarded: bool
    ) -> Answer:
        """The answer that an outcome makes.

        Raises:
            DeadlineError: the deadline ended the test, and the options want an error then.
        """
        judgement = model.judgement(outcome, prepared.order)
        self._observer.decided(outcome)
        late = guarded and judgement.undecided_because == UndecidedBecause.DEADLINE
        if late and self.options.on_deadline == "error":
            raise _late(seconds)
        answer = self._answer(model, judgement, prepared, guarded=guarded)
        timings = Timings(prepared.seconds, outcome.queue_seconds, outcome.run_seconds)
        return replace(answer, timings=timings)

    def _answer(
        self,
        model: Model,
        judgement: Judgement,
        prepared: Prepared,
        *,
        guarded: bool = True,
        cached: bool = False,
    ) -> Answer:
        undecided = judgement.verdict == Verdict.UNDECIDED and self.options.alarm_on_undecided
        return Answer(
            model=model,
            judgement=judgement,
            adversarial=guarded and (judgement.verdict == Verdict.ADVERSARIAL or undecided),
            guarded=guarded,
            cached=cached,
            timings=Timings(prepared.seconds),
            body_sha256=prepared.body_sha256,
            pixels_key=prepared.key,
            pixels=prepared.pixels,
        )

    def _open(self, path: Path, before: Model | None) -> Model:
        return Model(
            path,
            self.options,
            key=self.order_key,
            workers=self._workers,
            observer=self._observer,
            before=before,
        )

    def _across(self, loop: asyncio.AbstractEventLoop) -> Bridge:
        """The bridge from threads to this loop."""
        bridge = self._bridge
        if bridge is None or bridge[0] is not loop:
            self._bridge = bridge = loop, Bridge(loop)
        return bridge[1]

    async def _prepare(self, image: Image, model: Model) -> Prepared:
        """Prepare in a thread; what waits for one is bounded like what is in flight."""
        if self._preparing >= self.options.max_in_flight:
            raise QueueFullError(
                f"{self._preparing} images wait to be decoded already; try again in a moment"
            )
        self._preparing += 1
        try:
            prepared = self._prepare_at_once(image, model)
            if prepared is None:
                future = self._decoders.submit(prepare, image, model, self.options.max_pixels)
                prepared = await self._across(asyncio.get_running_loop()).follow(future)
        finally:
            self._preparing -= 1
        self._observer.decoded(prepared.seconds)
        return prepared

    def _prepare_at_once(self, image: Image, model: Model) -> Prepared | None:
        """Prepare what is so small that decoding takes less than handing it to a thread; None where it is not."""
        if self.options.inline_ms == 0 or not isinstance(image, bytes | np.ndarray):
            return None
        if (len(image) if isinstance(image, bytes) else image.size) > _SMALL_BYTES:
            return None
        try:
            return prepare(image, model, min(_SMALL_PIXELS, self.options.max_pixels))
        except TooManyPixelsError:
            return None

    async def _look_up(self, key: str) -> Judgement | None:
        if self.cache is None:
            return None
        found = None
        kept = await self.cache.get(key)
        if kept is not None:
            with contextlib.suppress(ValidationError):
                found = Judgement.model_validate_json(kept)
        self._observer.looked_up(hit=found is not None)
        return found


def _order_key(given: bytes | str | OrderKey | None, file: str | PathLike[str] | None) -> OrderKey:
    if isinstance(given, OrderKey):
        return given
    if given is not None and file is not None:
        raise ValueError("give order_key or order_key_file, not both")
    if file is not None:
        return OrderKey(key_in_file(Path(file)))
    if given is None:
        return OrderKey(drawn_key())
    secret = given.encode() if isinstance(given, str) else given
    if len(secret) < 16:
        raise ValueError("an order key has 16 bytes or more")
    return OrderKey(secret)


def _taken(image: GivenImage) -> Image:
    if isinstance(image, str | PathLike):
        return Path(image)
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    if isinstance(image, bytes | PillowImage | np.ndarray):
        return image
    raise TypeError(
        f"an image is bytes, a path, a Pillow image or an array uint8 [H, W, C], not {type(image).__name__}"
    )


def _refuse_own_loop(model: Model) -> None:
    """Refuse to block the event loop that the model's runs take turns with: it would wait for itself."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    if running is model.scheduler.event_loop:
        raise RuntimeError("this thread runs the guard's event loop; use 'await guard.aclassify(...)' here")


def _result(future: "Future[Outcome]", deadline: float, seconds: float) -> Outcome:
    """Wait for an outcome; the loop minds the deadline, unless it hangs.

    Raises:
        DeadlineError: it passed before the first run, or the loop hangs.
        NotReadyError: the loop failed meanwhile.
    """
    try:
        left = None if deadline == inf else max(deadline - time.perf_counter(), 0.0) + _GRACE_SECONDS
        return future.result(left)
    except (TimeoutError, DeadlineError) as error:
        future.cancel()
        raise _late(seconds) from error


def _late(seconds: float) -> DeadlineError:
    return DeadlineError(f"no verdict within {seconds:g} s; try again")
