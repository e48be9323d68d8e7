"""Connection pool to Redis, and whether Redis is worth asking."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from prometheus_client import Counter, Gauge
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

_T = TypeVar("_T")

_LOOK_SECONDS = 1.0
_FIRST_SECONDS = 0.5
# A timer that goes off this much too late shows that this process is busy, and says nothing about
# Redis.
_LATE_SECONDS = 0.01
# More calls at a time would only wait for one another in Redis, and each would first pay for a
# connection.
_MOST_AT_ONCE = 16
# A connection that neither names its library nor asks for a newer protocol can be used at once.
# Otherwise it takes three more answers first, all within the timeout.
_PLAIN: dict[str, Any] = {"protocol": 2, "driver_info": None}
# redis-py raises ValueError where something other than Redis answers.
_TROUBLE = (RedisError, OSError, ValueError)
# Errors that the next call would meet as well, whatever it asks. Lost connections, a Redis that is
# loading, and a password that is refused are connection errors of redis-py.
_DOWN = (
    RedisConnectionError,
    RedisTimeoutError,
    OSError,
    ReadOnlyError,
    OutOfMemoryError,
    ClusterDownError,
)
# The same of Redis' error codes that redis-py has no class for.
# In a pipeline redis-py puts the command before them.
_DOWN_CODES = re.compile(r"(^|caused error: \(?['\"]?)(BUSY|MISCONF|NOREPLICAS)\b")
_CODE = re.compile(r"(?:^|caused error: \(?['\"]?)([A-Z]+)\b")
_SAY_AGAIN_SECONDS = 60.0

Ask = Callable[[Redis], Awaitable[Any]]
"""Calls to Redis, whose answers are bytes.
The type is loose because the library's own types say less than is known here."""


class RedisDownError(Exception):
    """Redis was not asked, or did not answer in time. Callers go on without it."""


class RedisRefusedError(RedisDownError):
    """Redis answered this call with an error, and goes on answering others.

    A key of another type, a script that fails, or a command that is not allowed: asking again is of
    no use.
    """


class RedisLink:
    """Link to Redis for requests, which never wait long for it.

    After a call that does not reach Redis, or takes longer than the timeout, no request asks Redis
    again until the watch has found that it answers within the timeout. So it is after an answer that
    every call would get: Redis is loading, full, or takes no writes. Any other error that Redis
    answers with is one of that call alone. The watch looks once a second, outside any
    request. So a Redis that is down or slow costs the requests then under way one timeout a call,
    and later requests nothing.

    Only so many calls are under way at a time; the others wait for their turn, within the timeout.
    A call that had to wait and whose time is up does not count against Redis: it shows that this
    process has much to ask.
    """

    def __init__(
        self, url: str, *, seconds: float, up: Gauge, refused: Counter | None = None, prefix: str = "guard"
    ) -> None:
        """Make a link that does not connect yet.

        Args:
            url: URL of the server.
            seconds: longest time a call may take, in seconds.
            up: gauge that tells whether Redis answers.
            refused: counter of the calls that Redis answers with an error of their own.
            prefix: first part of every key.
        """
        self._url, self._seconds, self._gauge, self._refused = url, seconds, up, refused
        self.prefix = prefix
        self._said: dict[str, float] = {}
        self._redis = Redis.from_url(url, retry=AsyncRetry(NoBackoff(), 0), socket_timeout=None, **_PLAIN)
        # Values kept in Redis are bytes, whatever the URL says.
        self._redis.connection_pool.connection_kwargs["decode_responses"] = False
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)
        self._up = False
        self._watch: asyncio.Task[None] | None = None
        self._look: Ask = Redis.ping
        self._jobs: list[Callable[[], Awaitable[None]]] = []
        up.set(0)

    def key(self, *parts: object) -> str:
        """Return the name of a key of this deployment, of its parts."""
        return ":".join((self.prefix, *map(str, parts)))

    @property
    def up(self) -> bool:
        """Whether Redis is believed to answer."""
        return self._up

    def first(self, ask: Callable[[BlockingRedis], _T]) -> _T | None:
        """Ask Redis once, before there is an event loop.

        Args:
            ask: call to make.

        Returns:
            Its result; None where Redis does not answer within half a second.
        """
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
        """Check once a second whether Redis answers, in the running event loop.

        Args:
            look: call that checks it.
            jobs: work done each time Redis answers; a job that fails is done again the next time.
        """
        self._look, self._jobs = look, list(jobs)
        self._watch = asyncio.create_task(self._keep_looking(), name="redis-watch")

    async def call(self, ask: Ask, *, seconds: float | None = None) -> Any:
        """Ask Redis.

        Args:
            ask: call to make.
            seconds: longest time the call may take, in place of the timeout; for calls that no
                request for a verdict waits for.

        Returns:
            The result of the call.

        Raises:
            RedisRefusedError: Redis answers this call with an error.
            RedisDownError: Redis is down, or does not answer in time.
        """
        if not self._up:
            raise RedisDownError("Redis is not answering")
        try:
            return await self._ask(ask, self._seconds if seconds is None else seconds)
        except _TROUBLE as error:
            if _means_down(error):
                self._failed(str(error))
                raise RedisDownError(str(error)) from error
            self._note_refusal(str(error))
            raise RedisRefusedError(str(error)) from error

    async def close(self) -> None:
        """Do the jobs a last time, and close the connections."""
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

    async def _keep_looking(self) -> None:
        while True:
            await self._look_once()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look_once(self) -> None:
        if not self._up:  # earlier connections would fail one after the other
            await self._redis.connection_pool.disconnect(inuse_connections=False)
        try:
            await self._ask(self._look, self._seconds)
        except RedisDownError:
            return
        except _TROUBLE as error:  # whatever it is, writing is of no use
            self._failed(str(error))
            return
        if not self._up:
            structlog.get_logger().info("redis is answering")
        self._set(True)
        await self._do_jobs()

    async def _do_jobs(self) -> None:
        for job in self._jobs:
            try:
                await job()
            except RedisRefusedError:
                continue
            except RedisDownError:
                return
            except Exception:  # one job must end neither the others nor the watch
                structlog.get_logger().exception("work for redis failed")

    def _set(self, up: bool) -> None:
        self._up = up
        self._gauge.set(up)

    def _note_refusal(self, why: str) -> None:
        """Count a call that Redis refused, and log the first of its kind in a minute."""
        if self._refused is not None:
            self._refused.inc()
        found = _CODE.search(why)
        code, now = found.group(1) if found else "", time.monotonic()
        if now >= self._said.get(code, now):
            self._said[code] = now + _SAY_AGAIN_SECONDS
            structlog.get_logger().warning("redis refuses a call", error=why)

    def _failed(self, why: str) -> None:
        if self._up or self._watch is None:  # logged once, not every second
            structlog.get_logger().warning("redis is not answering", error=why)
        self._set(False)


def _means_down(error: Exception) -> bool:
    return isinstance(error, _DOWN) or _DOWN_CODES.search(str(error)) is not None
