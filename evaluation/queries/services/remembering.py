"""Memories of queries as the server has them, and the fingerprints that they hold."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from evaluation.attacks.digest import digest
from evaluation.queries.services.answer import Pixels
from evaluation.server import ORDER_KEY
from service.probing.fingerprint import Fingerprint, Print
from service.probing.memory import QueryMemory
from service.probing.sequence import Thresholds


class Remembering:
    """Maker of memories for images of one size, under the key of published figures."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        entries: int,
        seconds: float,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        """Draw the fingerprint's projections.

        Args:
            shape: height, width and channels of the images.
            entries: number of queries that a memory holds.
            seconds: time for which it holds them.
            thresholds: thresholds of a campaign in place of the server's, by name.
        """
        self._fingerprint = Fingerprint(ORDER_KEY.encode(), *shape)
        self._shape, self._entries, self._seconds = shape, entries, seconds
        self._thresholds = Thresholds(**dict[str, Any](thresholds or {}))

    def memory(self) -> QueryMemory:
        """Return an empty memory."""
        return QueryMemory(
            self._entries, self._seconds, radius=self._fingerprint.radius, thresholds=self._thresholds
        )

    def fingerprint(self, pixels: Pixels) -> Print:
        """Return the fingerprint of an image uint8 [H, W, C]."""
        return self._fingerprint.of(pixels)

    def settings(self) -> dict[str, float | str]:
        """Return what answers depend on, as JSON values."""
        drawn = np.random.default_rng(0).integers(0, 256, self._shape, dtype=np.uint8)
        one = self._fingerprint.of(drawn)
        return {
            "entries": self._entries,
            "seconds": self._seconds,
            "radius": self._fingerprint.radius,
            "print": digest(one.tokens.tobytes(), one.sketch.tobytes(), one.windows.tobytes()),
            **dataclasses.asdict(self._thresholds),
        }
