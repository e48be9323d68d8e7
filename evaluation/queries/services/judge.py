"""Guard of a store, in process."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from evaluation.queries.services.response import Pixels
from evaluation.server import ORDER_KEY
from mutant_guard.guard import Guard
from mutant_guard.runtime.answer import Answer

_T = TypeVar("_T")


class StoreJudge:
    """Guard with the key of published figures, on one thread, with an event loop of its own.

    Attributes:
        name: name of the store.
        version: its version.
        model: the loaded store.
        classes: number of classes.
        spec: input of the classifier.
    """

    def __init__(self, path: Path) -> None:
        """Open the store.

        Raises:
            StoreError: the store is missing, damaged or does not answer.
        """
        self._loop = asyncio.new_event_loop()
        self._guard = Guard(path, threads=1, order_key=ORDER_KEY, max_in_flight=10_000)

        async def start() -> None:
            self._guard.start(asyncio.get_running_loop())

        self.run(start())
        self.model = model = next(iter(self._guard.models))
        self.name, self.version = model.name, model.store.version
        self.classes, self.spec = len(model.store.manifest.classes), model.store.manifest.input

    def close(self) -> None:
        """Release threads and memory."""
        self.run(self._guard.aclose())
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the guard's event loop, and return its result."""
        return self._loop.run_until_complete(work)

    async def answers(self, pixels: Pixels, *, guarded: bool) -> list[Answer]:
        """Return the guard's answers to images uint8 [N, H, W, C] of the classifier's size.

        Args:
            pixels: the images.
            guarded: whether mutants are asked; without them there is never an alarm.
        """
        asked = (self._guard.aclassify(image, guarded=guarded) for image in pixels)
        return list(await asyncio.gather(*asked))

    def labels(self, pixels: Pixels) -> NDArray[np.int64]:
        """Return the classifier's labels of images uint8 [N, H, W, C], int64 [N]."""
        found = self.run(self.answers(pixels, guarded=False))
        return np.array([one.label for one in found], dtype=np.int64)

    def alarms(self, pixels: Pixels) -> NDArray[np.bool_]:
        """Return which of images uint8 [N, H, W, C] raise an alarm, bool [N]."""
        found = self.run(self.answers(pixels, guarded=True))
        return np.array([one.adversarial for one in found], dtype=np.bool_)
