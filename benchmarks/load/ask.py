"""Asking one by one and reading what is answered: for checks, not for load."""

import asyncio
from collections.abc import Sequence

import uvloop

from benchmarks.load.connection import Answer, Connection


def ask(port: int, requests: Sequence[bytes], connections: int = 8) -> list[Answer]:
    """The answers to requests, see ``Plan.requests``, in their order.

    Raises:
        RefusedError: the server does not take connections.
        LostError: it closed one without an answer.
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
