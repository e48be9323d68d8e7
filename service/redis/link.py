"""The one connection pool to Redis, and whether it is worth asking."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from prometheus_client import Gauge
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

_T = TypeVar("_T")

_LOOK_SECONDS = 1.0
_FIRST_SECONDS = 0.5
# A timer that goes off so much later than it was set for says that this process is busy, and nothing of Redis.
_LATE_SECONDS = 0.01
# More at a time would only wait for one another in Redis, and each first pays for a connection.
_MOST_AT_ONCE = 16
# A connection that says nothing of itself and asks for no newer protocol can be used at once; else it takes three more
# answers first, all within the timeout.
_PLAIN: dict[str, Any] = {"protocol": 2, "driver_info": None}
# The last is what redis-py raises where something else answers.
_TROUBLE = (RedisError, OSError, ValueError)

Ask = Callable[[Redis], Awaitable[Any]]
"""What is asked of Redis, whose answers are bytes; its library says less of their types than is known here."""


class RedisDownError(Exception):
    """Redis was not asked, or did not answer in time. Callers go on without."""


class RedisLink:
    """Redis for requests, which never wait for it long.

    A call that fails, or takes longer than the timeout, has Redis left alone: nobody asks again until the watch, once
    a second and outside any request, has found that it answers as fast as that. So one that is down or slow costs the
    requests then under way one timeout a call, and later ones nothing.

    Only so many calls are under way at a time; the others wait for their turn, within the timeout. One that had to wait
    says nothing of Redis when its time is up: it is this process that has much to ask.
    """

    def __init__(self, url: str, *, seconds: float, up: Gauge) -> None:
        """Args: the server's URL, the longest a call may take in seconds, the gauge that tells whether it answers."""
        self._url, self._seconds, self._gauge = url, seconds, up
        self._redis = Redis.from_url(url, retry=AsyncRetry(NoBackoff(), 0), socket_timeout=None, **_PLAIN)
        # What is kept here is bytes, whatever the URL says.
        self._redis.connection_pool.connection_kwargs["decode_responses"] = False
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)
        self._up = False
        self._watch: asyncio.Task[None] | None = None
        self._look: Ask = Redis.ping
        self._jobs: list[Callable[[], Awaitable[None]]] = []
        up.set(0)

    @property
    def up(self) -> bool:
        """Whether it is believed to answer."""
        return self._up

    def first(self, ask: Callable[[BlockingRedis], _T]) -> _T | None:
        """Ask once before there is an event loop; None where it does not answer within half a second."""
        redis = BlockingRedis.from_url(
            self._url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=_FIRST_SECONDS,
            socket_connect_timeout=_FIRST_SECONDS,
            **_PLAIN,
        )
        redis.connection_pool.connection_kwargs["decode_responses"] = False
        try:
            with redis:
                answer = ask(redis)
        except _TROUBLE as error:
            self._failed(str(error))
            return None
        self._set(True)
        return answer

    def watch(self, look: Ask, *jobs: Callable[[], Awaitable[None]]) -> None:
        """From now on see once a second whether it answers, in the running event loop.

        Args:
            look: asked for that.
            jobs: done whenever it does; one that raises ``RedisDownError`` is done again the next time.
        """
        self._look, self._jobs = look, list(jobs)
        self._watch = asyncio.create_task(self._keep_looking(), name="redis-watch")

    async def call(self, ask: Ask, *, seconds: float | None = None) -> Any:
        """Ask Redis.

        Args:
            ask: what to ask of it.
            seconds: the longest it may take, in place of the timeout, for what no request for a verdict waits for.

        Raises:
            RedisDownError: it is down, answers with an error, or not within the timeout.
        """
        if not self._up:
            raise RedisDownError("Redis is not answering")
        return await self._ask(ask, self._seconds if seconds is None else seconds)

    async def close(self) -> None:
        """Do the jobs a last time, and let go of the connections."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
            await self._do_jobs()
        await self._redis.aclose()

    async def _ask(self, ask: Ask, seconds: float) -> Any:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        waited = self._turns.locked()
        try:
            async with asyncio.timeout_at(until), self._turns:
                if waited and not self._up:
                    raise RedisDownError("Redis is not answering")
                return await ask(self._redis)
        except TimeoutError as error:
            if not waited and loop.time() - until < _LATE_SECONDS:
                self._failed(f"no answer within {seconds * 1000:g} ms")
            raise RedisDownError("Redis did not answer in time") from error
        except _TROUBLE as error:
            self._failed(str(error))
            raise RedisDownError(str(error)) from error

    async def _keep_looking(self) -> None:
        while True:
            await self._look_once()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look_once(self) -> None:
        if not self._up:  # connections from before would fail one after the other
            await self._redis.connection_pool.disconnect(inuse_connections=False)
        try:
            await self._ask(self._look, self._seconds)
        except RedisDownError:
            return
        if not self._up:
            structlog.get_logger().info("redis is answering")
        self._set(True)
        await self._do_jobs()

    async def _do_jobs(self) -> None:
        for job in self._jobs:
            try:
                await job()
            except RedisDownError:
                return

    def _set(self, up: bool) -> None:
        self._up = up
        self._gauge.set(up)

    def _failed(self, why: str) -> None:
        if self._up or self._watch is None:  # said once, not every second
            structlog.get_logger().warning("redis is not answering", error=why)
        self._set(False)
