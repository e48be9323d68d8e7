"""Probes on their own port: answered while the event loop that classifies is not free."""

import asyncio
from pathlib import Path

import httpx
import pytest

from service.guard_service import GuardService
from service.http.probes import ProbeServer
from tests.support.service import free_port, running, settings_for

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
