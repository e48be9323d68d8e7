"""Server of one of several processes that share a port."""

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from service.guard_service import GuardService
from service.http.probes import ProbeServer
from service.http.server import Server, serve_on
from service.processes.merged_metrics import Families, families_of
from service.processes.peers import Peers
from service.processes.turns import Turns


class SharedServer(Server):
    """Server that takes the supervisor's word for signals, however many it gets itself.

    Service managers and terminals send a signal to all processes of a group, beside what the
    supervisor passes on: a second one would cut the draining short.
    """

    _told = False

    def obey(self, sig: int) -> None:
        """Do what a signal to the supervisor asks for, as ``handle_exit`` says."""
        first, self._told = not self._told, True
        if not (first and sig == signal.SIGTERM and self.draining):
            self.handle_exit(sig, None)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain at SIGTERM, as often as it comes, and leave Ctrl-C to the supervisor."""
        signal.signal(signal.SIGTERM, lambda *_: self.drain())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        yield


def run(guard: GuardService, peers: Peers, turns: int, ports: list[socket.socket]) -> int:
    """Serve until the supervisor, SIGTERM or a lost inference loop ends it.

    Args:
        guard: guard to serve.
        peers: the other processes.
        turns: descriptor of the turns at taking connections.
        ports: bound socket of the port, and that of the probes where they have one.

    Returns:
        The exit status of the process.
    """
    listening, *probes = ports
    host, port = listening.getsockname()[:2]
    number, processes = peers.beginning["number"], guard.settings.processes
    server = SharedServer(guard, host=host, port=port, turns=Turns(turns, number, processes))
    peers.on_signal = server.obey

    def beginning() -> dict[str, Any]:
        versions = {str(model.path): model.version for model in guard.models}
        return {"order_key": guard.state.key.value.hex(), "versions": versions}

    def metrics() -> Families:
        return families_of(guard.metrics.registry)

    def alarms(minutes: list[list[Any]]) -> list[tuple[int, int]]:
        return guard.state.alarms.own([(name, version, minute) for name, version, minute in minutes])

    def load(name: str) -> str:
        return guard.guard.load(name).version

    with ExitStack() as stack:
        for one in probes:
            stack.enter_context(ProbeServer(guard, host=host, port=port, listening=one))
        peers.ready(
            {"beginning": beginning, "metrics": metrics, "alarms": alarms, "load": load},
            beginning=beginning(),
            serves={"stores": guard.models.names, "policy": guard.settings.policy},
        )
        return serve_on(listening, server, guard)
