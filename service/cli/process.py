"""One of several server processes, which their supervisor starts."""

import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Annotated

import typer

from service.cli.command import load
from service.settings import Settings
from service.telemetry.logs import configure_logs


def process(
    link: Annotated[int, typer.Argument(help="Descriptor of the socket to the supervisor.")],
) -> None:
    """Serve as one of several processes. ``serve --processes`` starts them; it is for nobody else."""
    from service.processes.peers import Peers

    with suppress(ImportError):  # said once, by the first process that loads a store
        import_module("service.processes.shared_server")
    peers = Peers(socket.socket(fileno=link))
    settings = Settings.model_validate(peers.beginning["settings"])
    turns, *ports = peers.beginning["descriptors"]
    configure_logs(settings.log_format, shared=turns)
    guard = load(settings, peers)
    from service.processes.shared_server import run

    sys.exit(run(guard, peers, turns, [socket.socket(fileno=port) for port in ports]))
