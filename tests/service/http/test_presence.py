"""Presence of the client: for one that is gone no work is done, and no slot is kept."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from starlette.requests import Request
from starlette.types import Message

from mutant_guard.errors import QueueFullError
from service.guard_service import GuardService
from service.http.presence import _LOOK_AFTER_SECONDS, Presence
from service.http.problems import ProblemError
from service.http.server import Server
from tests.support.service import HeldSession, digits, encode, free_port, settings_for

pytestmark = pytest.mark.anyio

BODIES = [encode(image) for image in digits(6)]


class Connection:
    """Connection as a server reports it: first the body's messages, then the client's departure."""

    def __init__(self, *before: Message) -> None:
        self._before, self.asked = list(before), 0
        self.closed = asyncio.Event()

    async def receive(self) -> Message:
        self.asked += 1
        if self._before:
            return self._before.pop(0)
        await self.closed.wait()
        return {"type": "http.disconnect"}

    @property
    def request(self) -> Request:
        return Request({"type": "http", "method": "POST", "headers": []}, self.receive)


async def watched(connection: Connection, work: Callable[[], Awaitable[object]]) -> object:
    with Presence(connection.request):
        return await work()


async def forever() -> None:
    await asyncio.Event().wait()


async def test_an_answer_that_comes_soon_needs_nobody_to_listen() -> None:
    connection = Connection()
    assert await watched(connection, lambda: asyncio.sleep(0, "soon")) == "soon"
    await asyncio.sleep(2 * _LOOK_AFTER_SECONDS)
    assert connection.asked == 0


async def test_an_answer_that_takes_longer_comes_as_well_and_ends_the_listening() -> None:
    connection, before = Connection(), len(asyncio.all_tasks())
    assert await watched(connection, lambda: asyncio.sleep(3 * _LOOK_AFTER_SECONDS, "late")) == "late"
    assert connection.asked == 1
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before
    connection.closed.set()
    await asyncio.sleep(_LOOK_AFTER_SECONDS)  # no late cancellation follows


@pytest.mark.parametrize("before", [(), ({"type": "http.request", "body": b"", "more_body": False},) * 2])
async def test_a_client_that_goes_away_ends_what_is_waited_for(before: tuple[Message, ...]) -> None:
    connection, ended = Connection(*before), asyncio.Event()

    async def work() -> None:
        try:
            await forever()
        finally:
            ended.set()

    asked = asyncio.ensure_future(watched(connection, work))
    await asyncio.sleep(2 * _LOOK_AFTER_SECONDS)
    assert not ended.is_set()
    connection.closed.set()
    with anyio.fail_after(5), pytest.raises(ProblemError, match="closed before the answer") as caught:
        await asked
    assert (caught.value.status, caught.value.code) == (400, "client-gone")
    assert ended.is_set()


async def test_one_that_is_gone_before_anybody_listens_is_noticed_too() -> None:
    connection = Connection()
    connection.closed.set()
    with anyio.fail_after(5), pytest.raises(ProblemError, match="closed before the answer"):
        await watched(connection, forever)


async def test_the_task_goes_on_as_if_it_had_not_been_cancelled() -> None:
    connection = Connection()
    connection.closed.set()
    with pytest.raises(ProblemError):
        await watched(connection, forever)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    async with asyncio.timeout(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("gone", [False, True])
async def test_what_cancels_the_request_otherwise_stays_a_cancellation(gone: bool) -> None:
    """A server may cut off requests that take too long."""
    connection = Connection()
    asked = asyncio.ensure_future(watched(connection, forever))
    await asyncio.sleep(2 * _LOOK_AFTER_SECONDS)
    asked.cancel()
    if gone:
        connection.closed.set()
    with anyio.fail_after(5), pytest.raises(asyncio.CancelledError):
        await asked


async def test_a_refusal_stays_one() -> None:
    async def refuse() -> None:
        await asyncio.sleep(2 * _LOOK_AFTER_SECONDS)
        raise QueueFullError("full")

    with pytest.raises(QueueFullError):
        await watched(Connection(), refuse)


@asynccontextmanager
async def listening(guard: GuardService) -> AsyncIterator[int]:
    """Serve on a real socket within this process, and yield the port."""
    port = free_port()
    server = Server(guard, host="127.0.0.1", port=port)
    running = asyncio.ensure_future(server.serve())
    with anyio.fail_after(10):
        while not server.started:
            await asyncio.sleep(0.005)
    try:
        yield port
    finally:
        server.should_exit = True
        await running


async def post(port: int, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def in_flight(guard: GuardService, expected: int) -> None:
    with anyio.fail_after(10):
        while guard.models.default.scheduler.in_flight != expected:
            await asyncio.sleep(0.002)


async def test_over_sockets_a_client_that_goes_away_frees_its_rows(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    guard = GuardService(settings_for(digits_store, max_in_flight=len(BODIES)))
    async with listening(guard) as port:
        connections = [await post(port, body) for body in BODIES]
        await in_flight(guard, len(BODIES))
        assert await asyncio.to_thread(held_guard_session.entered.wait, 10)
        for _, writer in connections[:-1]:
            writer.close()
        await in_flight(guard, 1)  # while the bank is held, so no request has been answered
        rejected = guard.metrics.registry.get_sample_value
        assert rejected("guard_requests_rejected_total", {"reason": "client-gone"}) == len(BODIES) - 1
        assert held_guard_session.runs == 0
        held_guard_session.release()
        reader, writer = connections[-1]
        with anyio.fail_after(10):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        await in_flight(guard, 0)
        # At most the run under way held rows of closed clients, and it has ended.
        assert held_guard_session.runs <= 2
        value = guard.metrics.registry.get_sample_value
        assert value("guard_mutants_evaluated_count") == 1


async def test_over_sockets_a_client_that_closes_its_half_is_gone_as_well(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    """uvicorn closes the other half at once."""
    guard = GuardService(settings_for(digits_store))
    async with listening(guard) as port:
        _, writer = await post(port, BODIES[0])
        await in_flight(guard, 1)
        writer.write_eof()
        await in_flight(guard, 0)
        held_guard_session.release()
        writer.close()
