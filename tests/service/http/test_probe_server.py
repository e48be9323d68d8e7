"""Probes on their own port: answered while the event loop that classifies is not free."""

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from service.guard_service import GuardService
from service.http.probes import ProbeServer
from tests.support.service import free_port, running, serving, settings_for

pytestmark = pytest.mark.anyio


async def test_probes_and_metrics_are_answered_while_the_event_loop_is_held(digits_store: Path) -> None:
    port = free_port()
    async with running(settings_for(digits_store)) as guard:
        with ProbeServer(guard, host="127.0.0.1", port=port), httpx.Client(timeout=10) as client:
            # The call runs in the loop's own thread, so nothing else runs in that meanwhile.
            answers = {
                path: client.get(f"http://127.0.0.1:{port}{path}")
                for path in ("/livez", "/readyz", "/metrics")
            }
            assert {path: answer.status_code for path, answer in answers.items()} == {
                "/livez": 200,
                "/readyz": 200,
                "/metrics": 200,
            }
            assert "guard_requests_in_flight 0.0" in answers["/metrics"].text
            guard.draining = True
            assert client.get(f"http://127.0.0.1:{port}/readyz").status_code == 503
            assert client.post(f"http://127.0.0.1:{port}/classify").status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/livez")


async def test_a_guard_that_failed_is_not_alive(digits_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    async with running(settings_for(digits_store)) as guard:
        monkeypatch.setattr(GuardService, "failed", True)
        with ProbeServer(guard, host="127.0.0.1", port=port):
            answer = await asyncio.to_thread(httpx.get, f"http://127.0.0.1:{port}/livez")
    assert answer.status_code == 503


async def test_silent_connections_do_not_keep_probes_out(digits_store: Path) -> None:
    port = free_port()
    async with running(settings_for(digits_store)) as guard:
        with ProbeServer(guard, host="127.0.0.1", port=port), ExitStack() as silent:
            for _ in range(100):
                silent.enter_context(socket.create_connection(("127.0.0.1", port)))
            answer = await asyncio.to_thread(httpx.get, f"http://127.0.0.1:{port}/livez")
    assert answer.status_code == 200


async def test_a_head_is_answered_as_on_the_main_port(digits_store: Path) -> None:
    port = free_port()
    async with serving(GuardService(settings_for(digits_store))) as client:
        with ProbeServer(GuardService(settings_for(digits_store)), host="127.0.0.1", port=port):
            for path in ("/livez", "/metrics"):
                there = await asyncio.to_thread(httpx.head, f"http://127.0.0.1:{port}{path}")
                here = await client.head(path)
                assert (there.status_code, here.status_code) == (200, 200)
                assert there.content == here.content == b""
