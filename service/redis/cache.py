"""Verdicts shared between replicas through Redis."""

from service.redis.link import RedisDownError, RedisLink

# The number goes up when what is kept changes its form, so that replicas of two releases do not read each other's.
_PREFIX = "guard:verdict:1:"


class RedisCache:
    """A cache in Redis; while that is down nothing is kept."""

    def __init__(self, link: RedisLink, *, seconds: float) -> None:
        """Args: the way to Redis, and the time to live in seconds."""
        self._link, self._milliseconds = link, max(1, round(seconds * 1000))

    async def get(self, key: str) -> bytes | None:
        """See ``mutant_guard.runtime.verdict_cache.VerdictCache``."""
        try:
            kept: bytes | None = await self._link.call(lambda redis: redis.get(_PREFIX + key))
        except RedisDownError:
            return None
        return kept

    async def put(self, key: str, value: bytes) -> None:
        """See ``mutant_guard.runtime.verdict_cache.VerdictCache``."""
        try:
            await self._link.call(lambda redis: redis.set(_PREFIX + key, value, px=self._milliseconds))
        except RedisDownError:
            return
