"""Request rates of API keys, over all replicas."""

from typing import Protocol

from redis.asyncio import Redis

from service.keys.api_keys import ApiKey
from service.keys.rate_limit import RateLimit
from service.redis.link import RedisDownError, RedisLink

# Token bucket as in ``service.keys.rate_limit``, by Redis' clock. A bucket that is full again is
# forgotten, and so is one of the future, which a clock that was set back leaves.
_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if kept[1] and tonumber(kept[2]) <= now + 1 then
    tokens = math.min(burst, tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) * rate)
end
if tokens < 1 - 1e-6 then
    return string.format('%.6f', (1 - tokens) / rate)
end
tokens = tokens - 1
redis.call('HSET', KEYS[1], 'tokens', string.format('%.9f', tokens), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) / rate * 1000) + 1)
return '0'
"""


class Limits(Protocol):
    """Limits on the request rates of API keys."""

    async def take(self, key: ApiKey) -> float:
        """Use up one token of a key, if it has one.

        Returns:
            0.0 where the key may pass, else the seconds until its next token.
        """


class OwnLimits:
    """Limits of this process alone."""

    def __init__(self) -> None:
        self._limit = RateLimit()

    async def take(self, key: ApiKey) -> float:
        """Use up one token of a key in this process, as ``Limits`` says."""
        return self._limit.take(key)


class SharedLimits:
    """Limits of all replicas together; while Redis does not answer each replica has its own."""

    def __init__(self, link: RedisLink, own: Limits | None = None) -> None:
        """Use a link to Redis.

        Args:
            link: link to Redis.
            own: limits of this replica alone; by default those of this process.
        """
        self._link, self._own = link, own or OwnLimits()

    async def take(self, key: ApiKey) -> float:
        """Use up one token of a key in Redis, as ``Limits`` says."""
        rate = key.requests_per_second
        if rate is None:
            return 0.0
        burst = key.at_once
        try:
            said = await self._link.call(lambda redis: self._ask(redis, key.sha256, rate, burst))
        except RedisDownError:
            return await self._own.take(key)
        return float(said)

    async def _ask(self, redis: Redis, name: str, rate: float, burst: int) -> bytes:
        script = redis.register_script(_TAKE)
        said: bytes = await script(keys=[self._link.key("rate", name)], args=[repr(rate), burst])
        return said
