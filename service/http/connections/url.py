"""Address of a listening socket."""

import socket


def url_of(listening: socket.socket) -> str:
    """Return the URL of a server that listens on a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
