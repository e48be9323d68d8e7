"""Guard without a protocol: images in, answers out."""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from math import inf, isnan
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image as PillowImage
from pydantic import ValidationError

from mutant_guard.bank.workers import Workers
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import (
    DeadlineError,
    DeviceError,
    GuardError,
    NotFiniteError,
    QueueFullError,
    StoreError,
    TooManyPixelsError,
    one_line,
)
from mutant_guard.images.decoding import Image
from mutant_guard.runtime.answer import Answer, Timings
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.runtime.model import Model
from mutant_guard.runtime.observer import SILENT, Observer
from mutant_guard.runtime.options import MAX_PIXELS, Device, OnDeadline, Options
from mutant_guard.runtime.order import OrderKey, drawn_key, key_in_file
from mutant_guard.runtime.prepared import Prepared, prepare
from mutant_guard.runtime.probe import probe
from mutant_guard.runtime.registry import ModelRegistry
from mutant_guard.runtime.scheduling.bridge import Bridge
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.runtime.verdict_cache import MemoryCache, VerdictCache
from mutant_guard.wire.verdict import Explanation, UndecidedBecause, Verdict

GivenImage = bytes | bytearray | memoryview | str | PathLike[str] | PillowImage | NDArray[np.uint8]
"""Image as callers give it.

It is an encoded file, the path of one, a Pillow image, or pixels uint8 [H, W, C].
"""

Asked = Callable[[Prepared, Model], Answer | Awaitable[Answer | None] | None]
"""Function that is told of an image before it is judged.

It may return an answer, at once or when it is awaited, which is then given in place of the guard's,
or raise an error.
"""

# Seconds after the deadline within which the inference loop may still answer: a run that has begun
# is not cut short.
_GRACE_SECONDS = 2.0
# Largest image in bytes, and in pixels by its header, that is decoded in the event loop.
_SMALL_BYTES, _SMALL_PIXELS = 4096, 4096
# Upper limit of the images of one ``classify_many`` that are in flight at the same time.
_TOGETHER = 64
_NO_MORE: Any = object()


class Guard:
    """Mutant stores, their policies, and the loops that run them.

    A guard reads no environment variable and writes no log line. The only file it writes is an
    ``order_key_file`` that is not there yet. Every method may be called from any thread, and
    ``aclassify`` from any event loop.

    Example:
        ```python
        with Guard("stores/mine") as guard:
            answer = guard.classify(Path("digit.png"))
            print(answer.class_name, answer.verdict, answer.mutants)
        ```

    Attributes:
        options: settings that the stores are run with.
        models: the stores that are loaded, by name.
        cache: cache in which ``aclassify`` keeps judgements; None for no cache.
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
        versions: Mapping[Path, str] | None = None,
    ) -> None:
        """Open the stores, check every file of them, and load them on their device.

        Args:
            stores: directories of mutant stores (the ones that hold ``CURRENT``); the first is the
                default.
            policy: name of the policy of the verdict: ``calibrated``, ``fixed`` or ``paper``.
            max_mutants: most mutants that an image may use. If the policy has not decided by then,
                the verdict is undecided. None for as many as the policy needs.
            alarm_on_undecided: whether an undecided verdict counts as an alarm.
            order_key: secret that orders the mutants, 16 bytes or characters or more. Guards that
                share it give the same verdicts. By default a new one is drawn, and the next guard
                may use other orders.
            order_key_file: file that holds this secret. A missing file is made, readable by its
                owner alone.
            require_signature: public key (PEM, Ed25519) that must have signed every store.
            device: device that the mutants run on: ``cuda``, ``cpu``, or ``auto`` for CUDA if it is
                there.
            threads: CPU threads of all stores together; 0 for the cores this process may use.
            batch_rows: rows that a run is filled up to while few images are in flight; None to
                measure it.
            max_batch_rows: most rows of a run; None to measure it.
            inline_ms: milliseconds of a run up to which runs take turns with the event loop; see
                ``Options``.
            max_in_flight: most images admitted at the same time; the next one raises
                QueueFullError.
            deadline_seconds: most seconds an image may take; None for no limit.
            on_deadline: result for an image past its deadline for which some mutants were
                evaluated: the verdict undecided, or a DeadlineError.
            grace_seconds: most seconds that images in flight may take to finish when the guard is
                closed.
            max_pixels: most pixels of an image as it is given. Pillow's own limit,
                ``PIL.Image.MAX_IMAGE_PIXELS``, holds as well.
            decode_threads: number of threads that decode images for ``aclassify`` and
                ``classify_many``.
            cache: cache in which ``aclassify`` keeps judgements; None for no cache.
            observer: object that is told of every step, for counting and logging.
            versions: versions to begin with, by the directory of their store; by default the
                current one.

        Raises:
            ValueError: no store is named, a number is NaN, or the order key is given twice or is too
                short.
            StoreError: a store is missing, unfinished, damaged, not signed as required, or has no
                such policy; or two stores have the same name.
            DeviceError: the requested device is not there.
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
        self._versions = dict(versions or {})
        paths = tuple(Path(store) for store in stores)
        self.models = ModelRegistry(paths, self._open, grace_seconds, self._observer)
        self._preparing, self._lock = 0, threading.Lock()
        self._decoders = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")
        self._bridge: tuple[asyncio.AbstractEventLoop, Bridge] | None = None
        self._proving = 0
        self._prover = ThreadPoolExecutor(1, thread_name_prefix="prove")

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
        """Start the inference loops now; by default they start with the first image.

        Args:
            event_loop: the loop that calls ``aclassify``. Runs of small networks (up to
                ``inline_ms``) then take turns with it in its thread. This is faster than handing
                images to another thread and back. ``classify`` must not be called in that thread
                from then on.
        """
        self.models.start(event_loop)

    def close(self) -> None:
        """Finish the images in flight, and release threads and memory."""
        self.models.close()
        self._decoders.shutdown()
        self._prover.shutdown()
        if not self.failed:  # a run that hangs has threads that never end
            self._workers.close()

    async def aclose(self) -> None:
        """Close the guard without blocking the event loop."""
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
        """Whether an inference loop has failed or hangs; only a new guard helps then."""
        return any(model.scheduler.failed for model in self.models)

    def load(self, store: str) -> Model:
        """Use the current version of a store from now on.

        Images in flight finish with the version they started with.

        Args:
            store: name of the store.

        Returns:
            The loaded version.

        Raises:
            UnknownStoreError: no store has that name.
            StoreError: the new version does not load; the version before stays in use.
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
        """Classify an image and say whether to trust the label.

        The call blocks until the answer is there.

        Args:
            image: an encoded PNG, JPEG or WebP file, the path of one, a Pillow image, or pixels
                uint8 [H, W, C].
            store: name of the store; by default the first.
            timeout: most seconds that the call may take, if less than ``deadline_seconds``.
            guarded: whether mutants are asked; without them the answer is the bare label.

        Raises:
            BadImageError: the image cannot be read, or the model does not take it.
            QueueFullError: too many images are in flight.
            DeadlineError: the time ended before the first run (or at any time with
                ``on_deadline="error"``).
            RunFailedError: the run that the image was part of failed.
            NotReadyError: the guard is closed, or its inference loop has failed.
            NotFiniteError: ``guarded`` is False and the classifier's scores are not finite.
            UnknownStoreError: no store has that name.
            OSError: the file cannot be read.
            ValueError: ``timeout`` is NaN.
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
            outcome = _result(future, deadline, seconds)
            return self._answered(
                model, prepared, outcome, seconds, guarded, self.options.on_deadline == "error"
            )

    def classify_many(
        self, images: Iterable[GivenImage], *, store: str | None = None, timeout: float | None = None
    ) -> Iterator[Answer]:
        """Classify many images in shared runs of the mutants; yield the answers in order.

        The answers come in the order of the images. Images are taken from the iterable as they are
        needed, so there may be any number of them.

        Args:
            images: images, each of a type that ``classify`` takes.
            store: name of the store; by default the first.
            timeout: most seconds for an image from the moment it is decoded, if less than
                ``deadline_seconds``.

        Yields:
            One answer for each image.

        Raises:
            GuardError: an image fails as it may in ``classify``; raised in the place of its answer.
                Later images in flight are dropped.
            OSError: the file of an image cannot be read.
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
                    while len(decoding) < ahead and (image := next(coming, _NO_MORE)) is not _NO_MORE:
                        decoding.append(
                            self._decoders.submit(prepare, _taken(image), model, self.options.max_pixels)
                        )
                    # Every decoded image joins the next run. Wait for the next image only where no
                    # run is going on.
                    while decoding and len(running) < together and (decoding[0].done() or not running):
                        try:
                            prepared = decoding[0].result()
                            deadline = time.perf_counter() + seconds
                            future = model.scheduler.submit(
                                prepared.inputs, prepared.order, deadline=deadline
                            )
                        except (GuardError, OSError):
                            if running:
                                break  # the answers of earlier images come first
                            raise
                        decoding.popleft()
                        self._observer.decoded(prepared.seconds)
                        running.append((prepared, deadline, future))
                    if not running:
                        return
                    prepared, deadline, future = running.popleft()
                    outcome = _result(future, deadline, seconds)
                    late_is_error = self.options.on_deadline == "error"
                    yield self._answered(model, prepared, outcome, seconds, True, late_is_error)
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
        on_deadline: OnDeadline | None = None,
        asked: Asked | None = None,
    ) -> Answer:
        """Classify an image without blocking the event loop.

        Arguments and errors are those of ``classify``. Cancelling the call takes the image out of
        the next run.

        Args:
            on_deadline: result past the deadline, in place of the guard's own ``on_deadline``. It
                is ``error`` where ``timeout`` comes from somebody who gains by an alarm that is
                not raised.
            asked: function called once the image is prepared, before any mutant is asked and
                before the cache is looked up. The image is not judged where it returns an answer or
                raises an error.
        """
        self.start()
        seconds = self._seconds(timeout)
        late_is_error = (on_deadline or self.options.on_deadline) == "error"
        with self.models.lease(store) as model:
            return await self._aclassify(model, _taken(image), seconds, guarded, late_is_error, asked)

    async def aexplain(self, answer: Answer) -> Explanation:
        """Explain an answer like ``Answer.explain``, without blocking the event loop.

        The radius within which a verdict is proved takes many passes of a mutant. One answer at a
        time is proved, in a thread of its own.

        Args:
            answer: an answer of this guard.

        Raises:
            QueueFullError: too many answers wait to be proved.
            DeadlineError: ``deadline_seconds`` passed.
            StoreError: the bounds do not fit the store.
        """
        if not answer.can_be_proved:
            return answer.explain()
        with self._lock:
            if self._proving >= self.options.max_in_flight:
                raise QueueFullError(
                    f"{self._proving} answers wait to be proved already; try again in a moment"
                )
            self._proving += 1
        seconds = self._seconds(None)
        future = self._prover.submit(answer.explain)
        future.add_done_callback(self._proved)
        try:
            async with asyncio.timeout(None if seconds == inf else seconds):
                return await self._across(asyncio.get_running_loop()).follow(future)
        except TimeoutError as error:
            raise _late(seconds) from error

    def _proved(self, _: "Future[Explanation]") -> None:
        with self._lock:
            self._proving -= 1

    async def _aclassify(
        self,
        model: Model,
        image: Image,
        seconds: float,
        guarded: bool,
        late_is_error: bool,
        asked: Asked | None,
    ) -> Answer:
        loop = asyncio.get_running_loop()
        deadline = time.perf_counter() + seconds
        until = None if seconds == inf else loop.time() + seconds
        try:
            prepared, given = self._prepare_at_once(image, model), None
            if prepared is not None:
                given = self._ask(prepared, model, asked)
                if isinstance(given, Answer):
                    return given
            # A timer takes as long as all of the waiting where nothing but the inference loop is
            # waited for, and that one takes turns with this event loop: it keeps the deadline
            # itself, and while it hangs no timer would fire.
            alone = prepared is not None and given is None and model.scheduler.event_loop is loop
            if alone and (self.cache is None or isinstance(self.cache, MemoryCache)):
                until = None
            async with _limit(until) as limit:
                if prepared is None:
                    prepared = await self._prepare(image, model)
                    given = self._ask(prepared, model, asked)
                if given is not None:
                    found = given if isinstance(given, Answer) else await given
                    if found is not None:
                        return found
                if guarded and (kept := await self._look_up(prepared.key, model)) is not None:
                    return self._answer(model, kept, prepared, Timings(prepared.seconds), cached=True)
                scheduler, submitted = model.scheduler, (prepared.inputs, prepared.order)
                future = (
                    scheduler.submit_in_turn(*submitted, deadline=deadline, guarded=guarded)
                    if scheduler.event_loop is loop
                    else self._across(loop).follow(
                        scheduler.submit(*submitted, deadline=deadline, guarded=guarded)
                    )
                )
                if limit is not None and until is not None:
                    limit.reschedule(until + _GRACE_SECONDS)  # the loop ends it earlier, unless it hangs
                outcome = await future
        except (TimeoutError, DeadlineError) as error:
            raise _late(seconds) from error
        answer = self._answered(model, prepared, outcome, seconds, guarded, late_is_error)
        kept_for_good = answer.undecided_because != UndecidedBecause.DEADLINE
        if guarded and self.cache is not None and kept_for_good:
            await self.cache.put(prepared.key, answer.judgement.model_dump_json().encode())
        return answer

    def _ask(
        self, prepared: Prepared, model: Model, asked: Asked | None
    ) -> Answer | Awaitable[Answer | None] | None:
        """Note that an image is prepared, and return what is known of it before it is judged."""
        self._observer.decoded(prepared.seconds)
        return None if asked is None else asked(prepared, model)

    def _seconds(self, timeout: float | None) -> float:
        limit = self.options.deadline_seconds
        if timeout is not None and isnan(timeout):
            raise ValueError("timeout is a number of seconds, not NaN")
        return min(inf if timeout is None else timeout, inf if limit is None else limit)

    def _answered(
        self,
        model: Model,
        prepared: Prepared,
        outcome: Outcome,
        seconds: float,
        guarded: bool,
        late_is_error: bool,
    ) -> Answer:
        """Return the answer for an outcome.

        Raises:
            DeadlineError: the deadline ended the test, and an error is asked for then.
            NotFiniteError: the bare label is asked for, and the scores are not finite.
        """
        judgement = model.judgement(outcome, prepared.order)
        self._observer.decided(outcome)
        if outcome.decision == Decision.NOT_FINITE:
            self._observer.not_finite(model.store, original=not np.isfinite(outcome.scores).all())
            if not guarded:
                raise NotFiniteError(
                    "the classifier's scores for this image are not finite (NaN or infinite), so it has no label; "
                    "with the guard on, such an image is an alarm"
                )
        late = guarded and judgement.undecided_because == UndecidedBecause.DEADLINE
        if late and late_is_error:
            raise _late(seconds)
        timings = Timings(prepared.seconds, outcome.queue_seconds, outcome.run_seconds)
        return self._answer(model, judgement, prepared, timings, guarded=guarded)

    def _answer(
        self,
        model: Model,
        judgement: Judgement,
        prepared: Prepared,
        timings: Timings,
        *,
        guarded: bool = True,
        cached: bool = False,
    ) -> Answer:
        alarm = judgement.verdict == Verdict.ADVERSARIAL or (
            judgement.verdict == Verdict.UNDECIDED
            and (
                self.options.alarm_on_undecided or judgement.undecided_because == UndecidedBecause.NOT_FINITE
            )
        )
        return Answer(
            model=model,
            judgement=judgement,
            adversarial=guarded and alarm,
            guarded=guarded,
            cached=cached,
            timings=timings,
            body_sha256=prepared.body_sha256,
            pixels_key=prepared.key,
            pixels=prepared.pixels,
        )

    def _open(self, path: Path, before: Model | None) -> Model:
        """Load a store's current version, or the one to begin with, and see that it answers.

        Raises:
            StoreError: the version does not load, or does not answer.
            DeviceError: the requested device is not there.
        """
        try:
            model = Model(
                path,
                self.options,
                key=self.order_key,
                workers=self._workers,
                observer=self._observer,
                before=before,
                version=self._versions.get(path) if before is None else None,
            )
            probe(model)
        except (StoreError, DeviceError):
            raise
        except Exception as error:  # whatever it is, every request would meet it
            raise StoreError(
                f"{path}: the current version fails its self-test ({one_line(error)}); build the store again"
            ) from error
        return model

    def _across(self, loop: asyncio.AbstractEventLoop) -> Bridge:
        """Return the bridge from threads to this event loop."""
        bridge = self._bridge
        if bridge is None or bridge[0] is not loop:
            self._bridge = bridge = loop, Bridge(loop)
        return bridge[1]

    async def _prepare(self, image: Image, model: Model) -> Prepared:
        """Prepare an image in a thread; limit the waiting images like the ones in flight."""
        with self._lock:
            if self._preparing >= self.options.max_in_flight:
                raise QueueFullError(
                    f"{self._preparing} images wait to be decoded already; try again in a moment"
                )
            self._preparing += 1
        try:
            future = self._decoders.submit(prepare, image, model, self.options.max_pixels)
            return await self._across(asyncio.get_running_loop()).follow(future)
        finally:
            with self._lock:
                self._preparing -= 1

    def _prepare_at_once(self, image: Image, model: Model) -> Prepared | None:
        """Prepare a small image in this thread, else return None.

        A small image is decoded in less time than its handover to another thread takes.
        """
        if self.options.inline_ms == 0 or not isinstance(image, bytes | np.ndarray):
            return None
        if (len(image) if isinstance(image, bytes) else image.size) > _SMALL_BYTES:
            return None
        try:
            return prepare(image, model, min(_SMALL_PIXELS, self.options.max_pixels))
        except TooManyPixelsError:
            return None

    async def _look_up(self, key: str, model: Model) -> Judgement | None:
        """Return the judgement that is kept under a key, None where there is none of this model."""
        if self.cache is None:
            return None
        found = None
        kept = await self.cache.get(key)
        if kept is not None:
            with contextlib.suppress(ValidationError, OverflowError):
                judged = Judgement.model_validate_json(kept)
                found = judged if model.could_have_given(judged) else None
            if found is None:
                self._observer.note("kept verdict contradicts itself", store=model.name, key=key)
        self._observer.looked_up(hit=found is not None)
        return found


def _limit(until: float | None) -> AbstractAsyncContextManager[asyncio.Timeout | None]:
    """Limit a block to a time of the event loop's clock; None for no limit, and no timer."""
    return contextlib.nullcontext() if until is None else asyncio.timeout_at(until)


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
    """Refuse to block the event loop that runs take turns with: it would wait for itself."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    if running is model.scheduler.event_loop:
        raise RuntimeError("this thread runs the guard's event loop; use 'await guard.aclassify(...)' here")


def _result(future: "Future[Outcome]", deadline: float, seconds: float) -> Outcome:
    """Wait for an outcome; the inference loop ends it at its deadline, unless the loop hangs.

    Raises:
        DeadlineError: the deadline passed before the first run, or the loop hangs.
        NotReadyError: the loop failed in the meantime.
    """
    try:
        left = None if deadline == inf else max(deadline - time.perf_counter(), 0.0) + _GRACE_SECONDS
        return future.result(left)
    except (TimeoutError, DeadlineError) as error:
        future.cancel()
        raise _late(seconds) from error


def _late(seconds: float) -> DeadlineError:
    return DeadlineError(f"no verdict within {seconds:g} s; try again")
