"""Closed and open loops of requests."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from time import perf_counter, process_time

from benchmarks.load.connection import Connection, LostError, RefusedError
from benchmarks.load.plan import Plan, Watch, get
from benchmarks.load.report import Report
from benchmarks.load.tally import Tally
from benchmarks.load.timer import Timer

_AGAIN_SECONDS = 0.05
_LATEST_SECONDS = 1.0
"""Seconds after the end of a load until which a request that was due before may still leave."""
_IDLE_SECONDS = 2.0
"""Seconds without use after which a connection is replaced.

Servers close idle connections, and a request may meet that on its way.
"""


async def run(plan: Plan) -> Report:
    """Carry out a plan and return its report."""
    load, before = _Load(plan), process_time()
    watching = asyncio.create_task(load.watch(plan.watch)) if plan.watch is not None else None
    try:
        await (load.closed() if plan.rate is None else load.open())
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])
    return replace(load.tally.report(), processor=process_time() - before)


class _Load:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests: Iterator[bytes] = itertools.cycle(plan.requests())
        self._dues = plan.dues()
        self._start = perf_counter()
        self._end = self._start + plan.seconds
        self._stopped = False
        self._under_way = 0
        self.tally = Tally(self._start, plan.seconds)

    async def closed(self) -> None:
        """Send the next request of every connection when the one before is answered."""
        users = [
            asyncio.create_task(self._user(fresh=n < self._plan.fresh)) for n in range(self._plan.connections)
        ]
        await self._finish(users)

    async def open(self) -> None:
        """Send requests when they are due.

        A request leaves on a connection that is free, on a new one, or as soon as there is one.
        """
        due: asyncio.Queue[float | None] = asyncio.Queue()
        waiting, workers = _Waiting(), list[asyncio.Task[None]]()
        dues = [self._start + seconds for seconds in self._dues]
        number, total = 0, len(dues)
        with Timer() as timer:
            while number < total and not self._stopped:
                now = perf_counter()
                while number < total and dues[number] <= now:
                    due.put_nowait(dues[number])
                    number += 1
                    if due.qsize() > waiting.count and len(workers) < self._plan.connections:
                        workers.append(asyncio.create_task(self._worker(due, waiting)))
                if number < total:
                    await timer.until(dues[number])
        for _ in workers:
            due.put_nowait(None)
        await self._finish(workers)
        left = [due.get_nowait() for _ in range(due.qsize())]
        self.tally.unsent += sum(entry is not None for entry in left)

    async def watch(self, watch: Watch) -> None:
        """Ask until the path fails, then have no further request sent."""
        while not self._stopped:
            await asyncio.sleep(watch.every)
            try:
                connection = await Connection.to(self._plan.port)
                with closing(connection):
                    answer = await connection.ask(get(watch.path, self._plan.port))
                self._stopped = answer.status != 200
            except (RefusedError, LostError):
                self._stopped = True
        self.tally.stopped_at = perf_counter()

    async def _user(self, *, fresh: bool) -> None:
        with _Line(self._connected) as line:
            while self._sending():
                connection = await line.connection()
                if connection is not None:
                    await self._exchange(connection, perf_counter())
                if fresh:
                    line.close()

    async def _worker(self, due: "asyncio.Queue[float | None]", waiting: "_Waiting") -> None:
        with _Line(self._connected) as line:
            while True:
                with waiting:
                    began = await due.get()
                if began is None:
                    return
                if self._stopped or perf_counter() > self._end + _LATEST_SECONDS:
                    self.tally.unsent += 1
                    continue
                while (connection := await line.connection()) is None:
                    pass
                self.tally.sent(perf_counter() - began)
                await self._exchange(connection, began)

    async def _connected(self) -> Connection | None:
        try:
            return await Connection.to(self._plan.port)
        except RefusedError as error:
            self.tally.refused(str(error))
            await asyncio.sleep(_AGAIN_SECONDS)
            return None

    async def _exchange(self, connection: Connection, began: float) -> None:
        self._under_way += 1
        left = perf_counter()
        try:
            answer = await connection.ask(next(self._requests))
        except LostError as error:
            self.tally.lost(str(error))
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            self.tally.answered(answer.status, began, left, perf_counter())
        self._under_way -= 1  # Not reached where the task is cancelled: that request is still to be counted.

    async def _finish(self, tasks: "list[asyncio.Task[None]]") -> None:
        """Wait until all requests are answered.

        Requests without an answer at the end of the grace time count as lost.
        """
        if not tasks:
            return
        while self._sending() and not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=min(_AGAIN_SECONDS, max(0.0, self._end - perf_counter())))
        _, pending = await asyncio.wait(tasks, timeout=self._plan.grace)
        if self._under_way:
            self.tally.lost(f"not answered within {self._plan.grace:g} s after the end", self._under_way)
        if self._plan.rate is not None:
            self.tally.unsent += len(pending) - self._under_way
        for task in pending:
            task.cancel()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(found, Exception):
                raise found

    def _sending(self) -> bool:
        return not self._stopped and perf_counter() < self._end


class _Line:
    """Connection that is opened when it is wanted, and again when it was closed or lay idle.

    It is closed with the block.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection | None]]) -> None:
        self._connect, self._used = connect, 0.0
        self._held: Connection | None = None

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def connection(self) -> Connection | None:
        """Return an open connection, or None where there is none to be had now."""
        if perf_counter() - self._used > _IDLE_SECONDS:
            self.close()
        if self._held is None or not self._held.open:
            self._held = await self._connect()
        self._used = perf_counter()
        return self._held

    def close(self) -> None:
        """Close the connection; the next call of ``connection`` opens a new one."""
        if self._held is not None:
            self._held.close()


class _Waiting:
    """Number of workers that wait for a request, counted by blocks."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
