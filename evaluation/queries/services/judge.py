"""Guard of a store, in process: labels with or without a verdict."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.queries.services.answer import Pixels
from evaluation.server import ORDER_KEY
from mutant_guard.guard import Guard


@dataclass(frozen=True, slots=True)
class Judged:
    """Judgement of an image.

    Attributes:
        label: the classifier's label.
        confidence: its probability.
        alarm: whether the verdict counts as an alarm.
        doubt: evidence of the mutants against the label that the answer tells, 0 to 1; None
            without mutants.
    """

    label: int
    confidence: float
    alarm: bool
    doubt: float | None


class StoreJudge:
    """Guard with the key of published figures, on one thread."""

    def __init__(self, store: Path) -> None:
        """Open the store.

        Raises:
            StoreError: the store is missing, damaged or does not answer.
        """
        self._loop = asyncio.new_event_loop()
        self._guard = Guard(store, threads=1, order_key=ORDER_KEY, max_in_flight=10_000)

        async def start() -> None:
            self._guard.start(asyncio.get_running_loop())

        self._loop.run_until_complete(start())
        manifest = next(iter(self._guard.models)).store.manifest
        self.version = next(iter(self._guard.models)).store.version
        self.name, self.classes, self.spec = manifest.name, len(manifest.classes), manifest.input

    def close(self) -> None:
        """Release threads and memory."""
        self._loop.run_until_complete(self._guard.aclose())
        self._loop.close()

    def labels(self, pixels: Pixels) -> NDArray[np.int64]:
        """Return the classifier's labels of images uint8 [N, H, W, C], int64 [N]."""
        return np.array([one.label for one in self.judge(pixels, guarded=False)], dtype=np.int64)

    def alarms(self, pixels: Pixels) -> NDArray[np.bool_]:
        """Return which of images uint8 [N, H, W, C] raise an alarm, bool [N]."""
        return np.array([one.alarm for one in self.judge(pixels, guarded=True)], dtype=np.bool_)

    def judge(self, pixels: Pixels, *, guarded: bool) -> list[Judged]:
        """Judge images uint8 [N, H, W, C] at the classifier's size.

        Args:
            pixels: the images.
            guarded: whether mutants are asked; without them there is never an alarm.
        """
        return self._loop.run_until_complete(self._all(pixels, guarded))

    async def _all(self, pixels: Pixels, guarded: bool) -> list[Judged]:
        return list(await asyncio.gather(*(self._one(image, guarded) for image in pixels)))

    async def _one(self, image: Pixels, guarded: bool) -> Judged:
        answer = await self._guard.aclassify(image, guarded=guarded)
        return Judged(
            answer.label, answer.confidence, answer.adversarial, told_doubt(answer.doubt, _rate(answer))
        )


def _rate(answer: object) -> float | None:
    mutants = int(getattr(answer, "mutants", 0))
    return float(getattr(answer, "label_changes", 0)) / mutants if mutants else None


def told_doubt(doubt: float | None, label_change_rate: float | None) -> float | None:
    """Return the evidence against a label that an answer tells: the doubt, or else the rate."""
    return label_change_rate if doubt is None else doubt
