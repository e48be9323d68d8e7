"""The guard as the server runs it: with settings, keys, metrics, traces, and a memory between requests."""

import asyncio
from dataclasses import fields
from typing import Any

import PIL.Image

from mutant_guard.errors import GuardRequiredError, QueueFullError
from mutant_guard.guard import GivenImage, Guard
from mutant_guard.runtime.answer import Answer
from mutant_guard.runtime.model import Model
from mutant_guard.runtime.options import Options
from mutant_guard.runtime.registry import ModelRegistry
from service.keys.api_keys import KeyRing
from service.settings import Settings
from service.state import State
from service.telemetry.metrics import Metrics
from service.telemetry.observer import ServerObserver
from service.telemetry.tracing import load_tracing

# The guard checks its own limit on the header; Pillow's would only warn, on standard error, below twice its size.
PIL.Image.MAX_IMAGE_PIXELS = None


def guard_options(settings: Settings) -> dict[str, Any]:
    """What a ``Guard`` is told of settings, by the names of its arguments."""
    return {option.name: getattr(settings, option.name) for option in fields(Options)}


class GuardService:
    """A guard, who may ask it, and what is counted and remembered of its answers.

    Attributes:
        settings: what was set.
        metrics: what is counted.
        guard: what judges.
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
        self.guard = Guard(
            *settings.store,
            **guard_options(settings),
            order_key=self.state.key,
            cache=self.state.cache,
            observer=ServerObserver(self.metrics, alarm_on_undecided=settings.alarm_on_undecided),
        )
        self.tracing = load_tracing(settings)
        self.draining = False
        self.metrics.watch(
            lambda: sum(model.scheduler.in_flight for model in self.models.everything),
            lambda: sum(model.scheduler.waiting for model in self.models.everything),
        )

    @property
    def models(self) -> ModelRegistry:
        """The stores that are served, by name."""
        return self.guard.models

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
        self.guard.start(loop)

    async def close(self) -> None:
        """Finish what is in flight and stop."""
        await self.guard.aclose()
        await self.state.close()
        await asyncio.to_thread(self.tracing.close)

    @property
    def ready(self) -> bool:
        """Whether every store takes requests, and goes on doing so."""
        return not self.draining and self.guard.ready

    @property
    def failed(self) -> bool:
        """Whether an inference loop has failed or hangs: only a restart helps."""
        return self.guard.failed

    def at_the_door(self) -> None:
        """Turn a request away before anything is done for it: under overload what is spent on those that are refused
        is lost to the others.

        Raises:
            QueueFullError: every store has as many requests in flight as it admits.
        """
        if self.guard.full:
            raise QueueFullError.of(self.settings.max_in_flight)

    async def load(self, name: str) -> Model:
        """Serve the current version of a store from now on; no request fails for it.

        Raises:
            UnknownStoreError: there is no store of that name.
            StoreError: the version does not load; the one before goes on.
        """
        return await asyncio.to_thread(self.guard.load, name)

    async def judge(
        self,
        image: GivenImage,
        *,
        store: str | None = None,
        seconds: float | None = None,
        guarded: bool = True,
    ) -> Answer:
        """Judge an image: ``Guard.aclassify`` as the settings allow it.

        Args:
            image: an encoded file, or pixels uint8 [H, W, C] at model size.
            store: the store's name; by default the first.
            seconds: how long it may take, at most as long as the settings say.
            guarded: whether mutants are asked; without them the answer is the bare label.

        Raises:
            GuardRequiredError: the bare label is not to be had.
            RequestError: there is no answer.
        """
        if not guarded and not self.settings.allow_guard_off:
            raise GuardRequiredError(
                "this server gives no label without a verdict; GUARD_ALLOW_GUARD_OFF=true would allow it"
            )
        return await self.guard.aclassify(image, store=store, timeout=seconds, guarded=guarded)

    def answered(self, answer: Answer, request_id: str) -> None:
        """Count an answer that was given, and remember its verdict."""
        self.metrics.answered(answer)
        if answer.guarded:
            self.state.answered(answer, request_id)
