"""Queries that were asked of one version of a store, by whoever remembers them."""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import numpy as np

from service.probing.fingerprint import Print
from service.probing.memory import QueryMemory, Seen

_ID_LENGTH = 32


class Queries(Protocol):
    """Memory of queries. It never fails a request."""

    @property
    def entries(self) -> int:
        """Number of queries that are remembered."""

    def seen(self, print_: Print, digest: bytes, caller: str, request_id: str) -> Seen | Awaitable[Seen]:
        """Remember a query, and find the sequence that it belongs to, at once or when it is awaited.

        Args:
            print_: fingerprint of its pixels.
            digest: hash of its pixels and of all else that its verdict depends on.
            caller: who asks, by key or address.
            request_id: id of the request.
        """

    def answered(self, seen: Seen, label: int, alarm: bool, confidence: float) -> None:
        """Count the answer to a query, in the sequence of ``seen`` as well.

        Args:
            seen: what ``seen`` returned for the query.
            label: label that was answered.
            alarm: whether the verdict was other than normal.
            confidence: the classifier's confidence in the label, 0 to 1.
        """

    def told(self, seen: Seen) -> None:
        """Note that the sequence of a query was reported, with as many relatives as it has."""

    def first_request(self, seen: Seen) -> str | None:
        """Return the id, up to 32 characters, of the request that began a query's sequence.

        It is None where it is forgotten.
        """

    def first_at(self, seen: Seen) -> float:
        """Return when the sequence of a query began, in seconds since 1970."""


class OwnQueries:
    """Queries of this process alone."""

    def __init__(self, memory: QueryMemory, clock: Callable[[], float] = time.monotonic) -> None:
        """Remember in a memory.

        Args:
            memory: the memory.
            clock: function that returns seconds which only go forward.
        """
        self._memory, self._clock, self._count = memory, clock, 0
        self._numbers = np.zeros(memory.capacity, np.int64)
        self._requests = np.zeros(memory.capacity, f"S{_ID_LENGTH}")

    @property
    def entries(self) -> int:
        """Number of queries that are remembered, those too old among them."""
        return min(self._count, self._memory.capacity)

    def seen(self, print_: Print, digest: bytes, caller: str, request_id: str) -> Seen:
        """Remember a query, and find the sequence that it belongs to; see ``Queries``."""
        seen = self._memory.seen(print_, digest, caller, self._clock())
        if not seen.repeat:
            entry = seen.number % self._memory.capacity
            self._numbers[entry] = seen.number
            self._requests[entry] = request_id.encode()[:_ID_LENGTH]
            self._count += 1
        return seen

    def answered(self, seen: Seen, label: int, alarm: bool, confidence: float) -> None:
        """Count the answer to a query; see ``Queries``."""
        self._memory.answered(seen, label, alarm, confidence)

    def told(self, seen: Seen) -> None:
        """Note that the sequence of a query was reported."""
        seen.sequence.told = seen.sequence.related

    def first_request(self, seen: Seen) -> str | None:
        """Return the id of the request that began a query's sequence, None where it is forgotten."""
        number = seen.sequence.number
        entry = number % self._memory.capacity
        if self._numbers[entry] != number:
            return None
        found: bytes = self._requests[entry]
        return found.decode("ascii", "replace")

    def first_at(self, seen: Seen) -> float:
        """Return when the sequence of a query began, in seconds since 1970."""
        return time.time() - (self._clock() - seen.sequence.first)
