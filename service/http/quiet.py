"""How uvicorn is set up wherever it serves: it says nothing that we say ourselves."""

from typing import Any

import uvicorn
from starlette.types import ASGIApp


def quiet(app: ASGIApp, *, host: str, port: int, **further: Any) -> uvicorn.Config:
    """Its configuration without logs, access log and server header, and without trust in headers of proxies.

    Args:
        app: what answers.
        host: address to listen on.
        port: TCP port to listen on.
        further: what else to set.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        **further,
    )
