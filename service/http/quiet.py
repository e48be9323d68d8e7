"""Configuration of uvicorn wherever it serves, without messages that this project gives itself."""

from typing import Any

import uvicorn
from starlette.types import ASGIApp


def quiet(app: ASGIApp, *, host: str, port: int, **further: Any) -> uvicorn.Config:
    """Return a configuration without logs, access log, server header and trust in proxies' headers.

    Args:
        app: application that answers.
        host: address to listen on.
        port: TCP port to listen on.
        further: further settings of uvicorn.
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
