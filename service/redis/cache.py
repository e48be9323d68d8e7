"""Verdicts shared between replicas through Redis."""

from service.redis.link import RedisDownError, RedisLink

# The number goes up when the form of the kept values changes, so that replicas of two releases do
# not read each other's.
_FORM = 1


class RedisCache:
    """Cache of verdicts in Redis; while Redis is down nothing is kept."""

    def __init__(self, link: RedisLink, *, seconds: float) -> None:
        """Use a link to Redis.

        Args:
            link: link to Redis.
            seconds: time to live of a verdict, in seconds.
        """
        self._link, self._milliseconds = link, max(1, round(seconds * 1000))
        self._prefix = link.key("verdict", _FORM, "")

    async def get(self, key: str) -> bytes | None:
        """Return what is kept under a key; None where there is nothing or Redis does not say."""
        try:
            kept: bytes | None = await self._link.call(lambda redis: redis.get(self._prefix + key))
        except RedisDownError:
            return None
        return kept

    async def put(self, key: str, value: bytes) -> None:
        """Keep a value for the time to live; do nothing while Redis is down."""
        try:
            await self._link.call(lambda redis: redis.set(self._prefix + key, value, px=self._milliseconds))
        except RedisDownError:
            return
