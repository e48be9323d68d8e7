"""A process's link to its supervisor, which here is the test."""

import json
import socket
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from service.keys.api_keys import ApiKey
from service.processes.peers import Peers, PeersError
from tests.support.api_keys import new_key

pytestmark = pytest.mark.anyio


class Supervisor:
    """Other end of the link."""

    def __init__(self, link: socket.socket) -> None:
        self._link, self._lines = link, link.makefile("rb")

    def send(self, **message: object) -> None:
        self._link.sendall(json.dumps(message).encode() + b"\n")

    def read(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self._lines.readline())
        return found


@pytest.fixture(scope="module")
def ends() -> Iterator[tuple[Supervisor, Peers]]:
    """Yield both ends; that the supervisor's is closed ends the process, which is checked last."""
    ours, theirs = socket.socketpair()
    ended: SimpleQueue[int] = SimpleQueue()
    with ours, theirs, pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.processes.peers.os._exit", ended.put)
        supervisor = Supervisor(ours)
        supervisor.send(order_key="0a0b", versions={"stores/a": "v1"})
        yield supervisor, Peers(theirs)
        assert ended.empty()
        ours.shutdown(socket.SHUT_RDWR)
        assert ended.get(timeout=10) == 1


def limited(rate: float | None) -> ApiKey:
    return new_key(requests_per_second=rate)[1]


async def test_it_begins_with_what_the_others_have(ends: tuple[Supervisor, Peers]) -> None:
    _, peers = ends
    assert peers.order_key == b"\n\x0b"
    assert {str(path): version for path, version in peers.versions.items()} == {"stores/a": "v1"}


async def test_questions_of_the_supervisor_are_answered(ends: tuple[Supervisor, Peers]) -> None:
    supervisor, peers = ends
    peers.ready({"double": lambda number: 2 * number, "fail": lambda: 1 / 0}, said="this")
    assert supervisor.read() == {"ready": {"said": "this"}}
    supervisor.send(id=5, ask="double", **{"with": {"number": 4}})
    assert supervisor.read() == {"id": 5, "answer": 8}
    supervisor.send(id=6, ask="fail", **{"with": {}})
    assert supervisor.read() == {"id": 6, "error": "division by zero"}


async def test_a_supervisor_that_is_silent_lets_nobody_with_a_rate_pass(
    ends: tuple[Supervisor, Peers],
) -> None:
    supervisor, peers = ends
    assert await peers.take(limited(None)) == 0
    assert await peers.take(limited(3.0)) == 1
    asked = supervisor.read()
    assert (asked["ask"], asked["with"]["requests_per_second"]) == ("take", 3)  # type: ignore[index]
    supervisor.send(id=asked["id"], answer=0.0)  # too late, and of no effect
    with pytest.raises(PeersError, match="did not answer within"):
        await peers.exposition()
    supervisor.read()
