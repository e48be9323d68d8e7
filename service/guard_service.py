"""The guard as the server runs it: with settings, keys, metrics, traces and shared state."""

import asyncio
import functools
from dataclasses import fields
from typing import Any

import PIL.Image
from prometheus_client import generate_latest

from mutant_guard.bank.memory import set_limit
from mutant_guard.errors import DeadlineError, GuardRequiredError, QueueFullError, StoreError
from mutant_guard.guard import GivenImage, Guard
from mutant_guard.runtime.answer import Answer
from mutant_guard.runtime.model import Model
from mutant_guard.runtime.options import Options
from mutant_guard.runtime.registry import ModelRegistry
from service.keys.key_ring import KeyRing
from service.probing.query import Query
from service.processes.peers import Peers, PeersError
from service.settings import Settings
from service.state import State
from service.telemetry.metrics import Metrics
from service.telemetry.observer import ServerObserver
from service.telemetry.tracing import load_tracing

# The guard checks its own limit on the image header. Pillow's limit only warns, on standard error,
# until an image has twice that size.
PIL.Image.MAX_IMAGE_PIXELS = None


def guard_options(settings: Settings) -> dict[str, Any]:
    """Return the settings that a ``Guard`` takes, by the names of its arguments."""
    return {option.name: getattr(settings, option.name) for option in fields(Options)}


class GuardService:
    """A guard together with its API keys, its metrics and what is remembered between requests.

    Attributes:
        settings: settings of the server.
        metrics: Prometheus metrics.
        guard: the guard that judges images.
        keys: API keys of the callers.
        state: what is remembered between requests.
        tracing: receiver of the spans of requests.
        draining: whether the server is about to stop; it is then not ready, though it still takes
            requests.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics | None = None, peers: Peers | None = None
    ) -> None:
        """Open the stores and load them on their device.

        Args:
            settings: settings of the server.
            metrics: metrics to count in; by default new ones.
            peers: the other processes of the server, None where there are none.

        Raises:
            StoreError: a store is missing, unfinished, damaged or not signed as the settings
                require, or has no such policy.
            DeviceError: the device asked for is not there.
            KeyFileError: the file of API keys cannot be read.
            TracingError: tracing was asked for and cannot be had.
        """
        self.settings, self.metrics = settings, metrics or Metrics()
        self.keys = KeyRing(settings.api_keys_file, grace_seconds=settings.api_keys_grace_seconds)
        if not self.keys.open:
            self.metrics.api_keys(lambda: self.keys.stale_seconds)
        self._peers = peers
        self.state = State(settings, self.metrics, peers)
        if settings.memory is not None:
            set_limit(settings.memory)
        self.guard = Guard(
            *settings.store,
            **guard_options(settings),
            order_key=self.state.key,
            cache=self.state.cache,
            observer=ServerObserver(self.metrics, alarm_on_undecided=settings.alarm_on_undecided),
            versions={} if peers is None else peers.versions,
        )
        if self.state.queries is not None:
            for model in self.models:
                self.state.queries.begin(model)
        self.tracing = load_tracing(settings)
        self.draining = False
        self.metrics.watch(
            lambda: sum(model.scheduler.in_flight for model in self.models.everything),
            lambda: sum(model.scheduler.waiting for model in self.models.everything),
        )

    @property
    def models(self) -> ModelRegistry:
        """Stores that are served, by name."""
        return self.guard.models

    def start(self) -> None:
        """Start the inference loops.

        Within an event loop, the inference loops of short runs take turns with it, and the upkeep
        of the state starts.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        else:
            self.state.start()
        self.guard.start(loop)

    async def close(self) -> None:
        """Finish the requests in flight and stop."""
        await self.guard.aclose()
        await self.state.close()
        await asyncio.to_thread(self.tracing.close)

    @property
    def ready(self) -> bool:
        """Whether every store takes requests, keys can be told, and the server is not to stop."""
        return not self.draining and not self.keys.stale and self.guard.ready

    @property
    def failed(self) -> bool:
        """Whether an inference loop has failed or hangs, so that only a restart helps."""
        return self.guard.failed

    def at_the_door(self) -> None:
        """Refuse a request before any work is done for it, if every store is full.

        Under overload, work spent on refused requests is lost to the others.

        Raises:
            QueueFullError: every store has as many requests in flight as it admits.
        """
        if self.guard.full:
            raise QueueFullError.of(self.settings.max_in_flight)

    async def load(self, name: str) -> Model:
        """Serve the current version of a store from now on, in every process, without failing any request.

        Args:
            name: name of the store.

        Returns:
            The model of the version that is now served.

        Raises:
            UnknownStoreError: there is no store of that name.
            StoreError: the version does not load; the previous version stays in service.
        """
        if self._peers is None:
            return await asyncio.to_thread(self.guard.load, name)
        try:
            await self._peers.load(name)
        except PeersError as error:
            raise StoreError(str(error)) from error
        return self.models.get(name)

    async def exposition(self) -> bytes:
        """Return the metrics, those of all processes together, in Prometheus' text format.

        Raises:
            PeersError: the other processes do not answer.
        """
        if self._peers is None:
            return generate_latest(self.metrics.registry)
        return await self._peers.exposition()

    async def judge(
        self,
        image: GivenImage,
        *,
        store: str | None = None,
        seconds: float | None = None,
        guarded: bool = True,
        query: Query | None = None,
    ) -> Answer:
        """Judge an image with ``Guard.aclassify``, within the limits of the settings.

        Args:
            image: an encoded file, or pixels uint8 [H, W, C] at model size.
            store: name of the store; by default the first.
            seconds: longest the answer may take, as the caller has it; within the limits of the
                settings.
            guarded: whether mutants are asked; without them the answer is the bare label.
            query: who asks, where queries are remembered; what is known of the query is noted in it.

        Raises:
            ProbingError: the query is part of an attack in the making, and such are refused.
            GuardRequiredError: the bare label was asked for and the settings do not allow it.
            DeadlineError: the deadline passed before there was a verdict, and the caller shortened
                it: whoever sends an image must not be able to turn the alarm off.
            RequestError: there is no answer.
        """
        if not guarded and not self.settings.allow_guard_off:
            raise GuardRequiredError(
                "this server gives no label without a verdict; GUARD_ALLOW_GUARD_OFF=true would allow it"
            )
        settings, watch = self.settings, self.state.queries
        if seconds is not None:
            seconds = max(seconds, settings.min_deadline_seconds)
        query = query or Query()
        query.guarded = guarded
        asked = None if watch is None else functools.partial(watch.asked, query)
        try:
            if seconds is None or seconds >= settings.deadline_seconds:
                seconds = None
                answer = await self.guard.aclassify(image, store=store, guarded=guarded, asked=asked)
            else:
                answer = await self.guard.aclassify(
                    image,
                    store=store,
                    timeout=seconds,
                    guarded=guarded,
                    on_deadline=None if settings.alarm_on_undecided else "error",
                    asked=asked,
                )
        except DeadlineError as error:
            if seconds is None:
                raise
            raise DeadlineError(
                f"no verdict within {seconds:g} s, which is what the request allows; allow more"
            ) from error
        return answer if watch is None else watch.answered(query, answer)

    def answered(self, answer: Answer, request_id: str, query: Query | None = None) -> None:
        """Count an answer that was given, and remember its verdict.

        Args:
            answer: the answer.
            request_id: id of its request.
            query: what is known of the query, where queries are remembered.
        """
        self.metrics.answered(answer)
        if answer.guarded:
            self.state.answered(answer, request_id, review=query is None or not query.probing)
