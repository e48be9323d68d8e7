"""Verdicts shared between replicas through Redis."""

import time

import structlog
from prometheus_client import Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError

_TIMEOUT = 0.05
_PAUSE = 1.0
_PREFIX = "guard:verdict:"

# The last is what redis-py raises where something else answers.
_TROUBLE = (RedisError, OSError, ValueError)


class RedisCache:
    """A cache that is left alone for a second whenever a call fails, so that requests do not wait for it."""

    def __init__(self, url: str, *, seconds: float, up: Gauge) -> None:
        """Args: the server's URL, time to live in seconds, and the gauge that tells whether it answers."""
        self._redis = Redis.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT)
        self._seconds, self._up = seconds, up
        self._closed_until = 0.0

    async def get(self, key: str) -> bytes | None:
        """See ``service.cache.VerdictCache``."""
        if time.monotonic() < self._closed_until:
            return None
        try:
            value = await self._redis.get(_PREFIX + key)
        except _TROUBLE as error:
            self._failed(error)
            return None
        self._up.set(1)
        return value.encode() if isinstance(value, str) else value

    async def put(self, key: str, value: bytes) -> None:
        """See ``service.cache.VerdictCache``."""
        if time.monotonic() < self._closed_until:
            return
        try:
            await self._redis.set(_PREFIX + key, value, px=max(1, round(self._seconds * 1000)))
        except _TROUBLE as error:
            self._failed(error)
            return
        self._up.set(1)

    async def close(self) -> None:
        """See ``service.cache.VerdictCache``."""
        await self._redis.aclose()

    def _failed(self, error: Exception) -> None:
        self._up.set(0)
        self._closed_until = time.monotonic() + _PAUSE
        structlog.get_logger().warning("redis is not answering", error=str(error))
