"""Interface to both clients, so that every test holds both to the same."""

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any

from mutant_guard.client import AsyncGuardClient, GuardClient, Retries

TRUST = ssl.create_default_context()
"""Trusted certificates, read once, as reading them takes longer than a call."""


@dataclass
class HandClock:
    """Clock that advances only by the time that is slept."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


@dataclass(frozen=True)
class Either:
    """Client of either kind, made anew for each call."""

    is_async: bool
    clock: HandClock

    def __call__(
        self, url: str | None, method: str, *args: Any, client: dict[str, Any] | None = None, **options: Any
    ) -> Any:
        """Call a method of a client of this URL.

        Jitter is as long as it can be, and pauses pass at once.

        Returns:
            The method's result, or a list of the results where it yields several.
        """
        fixed: dict[str, Any] = {"retries": Retries(draw=lambda: 1.0), "clock": self.clock, "verify": TRUST}
        given = fixed | (client or {})
        if not self.is_async:
            with GuardClient(url, **{"sleep": self.clock.sleep, **given}) as blocking:
                found = getattr(blocking, method)(*args, **options)
                return list(found) if hasattr(found, "__next__") else found
        return asyncio.run(self._asked(url, method, args, options, given))

    async def _asked(
        self,
        url: str | None,
        method: str,
        args: tuple[Any, ...],
        options: dict[str, Any],
        given: dict[str, Any],
    ) -> Any:
        async with AsyncGuardClient(url, **{"sleep": self.clock.sleep_async, **given}) as client:
            found = getattr(client, method)(*args, **options)
            return [one async for one in found] if hasattr(found, "__anext__") else await found
