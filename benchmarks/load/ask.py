"""Asking one request after the other and reading the answers: for checks, not for load."""

import asyncio
from collections.abc import Sequence

import uvloop

from benchmarks.load.connection import Answer, Connection


def ask(port: int, requests: Sequence[bytes], connections: int = 8) -> list[Answer]:
    """Return the answers to requests, in their order.

    Args:
        port: port of the server.
        requests: requests as in ``Plan.requests``.
        connections: most connections at the same time.

    Raises:
        RefusedError: the server does not take connections.
        LostError: the server closed a connection without an answer.
    """
    answers: dict[int, Answer] = {}
    turn = iter(enumerate(requests))

    async def user() -> None:
        connection = await Connection.to(port)
        for number, request in turn:
            if not connection.open:
                connection = await Connection.to(port)
            answers[number] = await connection.ask(request)
        connection.close()

    async def all_users() -> None:
        await asyncio.gather(*(user() for _ in range(min(connections, len(requests)))))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(all_users())
    return [answers[number] for number in range(len(requests))]
