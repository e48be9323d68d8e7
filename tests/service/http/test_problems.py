"""Errors as problem+json: each names its cause and, where it helps, when to try again."""

import asyncio
from http import HTTPStatus
from pathlib import Path

import anyio
import pytest
from httpx import AsyncClient, Response
from structlog.testing import capture_logs

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.errors import (
    BadImageError,
    DeadlineError,
    NotFiniteError,
    NotReadyError,
    QueueFullError,
    RequestError,
    RunFailedError,
)
from service.guard_service import GuardService
from service.http.problems import InferenceProblem, ProblemError, documented, response, status_of
from tests.support.callers import calling
from tests.support.service import HeldSession, digits, encode, png_of_size, serving, settings_for

pytestmark = pytest.mark.anyio

IMAGE, OTHER, THIRD = (encode(image) for image in digits(3))


def check(answer: Response, status: int, code: str, detail: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert set(found) == {"type", "title", "status", "detail"}
    assert found["type"] == f"urn:mutant-guard:problem:{code}"
    assert found["title"] == HTTPStatus(status).phrase
    assert found["status"] == status
    assert detail in found["detail"]
    assert ("retry-after" in answer.headers) is (status in (429, 503))


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is empty"),
        (b"text", "no PNG, JPEG or WebP image"),
        (IMAGE[:60], "damaged"),
        (png_of_size(101, 100), "101×100, more than 10,000 pixels"),
        (encode(digits(1)[0][:7]), "8×7 pixels and this model takes exactly 8×8"),
    ],
    ids=["empty", "text", "cut", "large", "size"],
)
async def test_a_bad_image_is_a_problem(client: AsyncClient, body: bytes, detail: str) -> None:
    check(await client.post("/classify", content=body), 422, "bad-image", detail)


async def test_a_large_body_is_a_problem(client: AsyncClient) -> None:
    answer = await client.post("/classify", content=bytes(20_001))
    check(answer, 413, "body-too-large", "larger than 20,000 bytes; send less")


async def test_another_content_type_is_a_problem(client: AsyncClient) -> None:
    answer = await client.post("/classify", content=IMAGE, headers={"Content-Type": "text/csv"})
    check(answer, 415, "unsupported-type", "'text/csv' is not taken")


async def test_a_bad_parameter_is_a_problem(client: AsyncClient) -> None:
    check(await client.post("/classify?explain=7", content=IMAGE), 422, "bad-parameter", "query explain")


async def test_an_unknown_path_is_a_problem(client: AsyncClient) -> None:
    check(await client.get("/nothing"), 404, "not-found", "Not Found")


async def test_another_method_is_a_problem_that_says_which_is_allowed(client: AsyncClient) -> None:
    answer = await client.get("/classify")
    check(answer, 405, "method-not-allowed", "Method Not Allowed")
    assert answer.headers["allow"] == "POST"


async def test_a_full_queue_is_a_problem_and_says_when_to_try_again(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    guard = GuardService(settings_for(digits_store, max_in_flight=1))
    async with serving(guard) as client:
        first = asyncio.ensure_future(client.post("/classify", content=IMAGE))
        await asyncio.to_thread(held_guard_session.entered.wait, 10)
        answer = await client.post("/classify", content=OTHER)
        check(answer, 429, "queue-full", "try again in a moment")
        assert answer.headers["retry-after"] == "1"
        held_guard_session.release()
        assert (await first).status_code == 200
        assert (await client.post("/classify", content=THIRD)).status_code == 200
        value = guard.metrics.registry.get_sample_value
        assert value("guard_requests_rejected_total", {"reason": "queue-full"}) == 1


async def test_a_missed_deadline_is_a_problem(
    digits_store: Path, held_guard_session: HeldSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop hangs, so nothing is known about the image."""
    monkeypatch.setattr("mutant_guard.guard._GRACE_SECONDS", 0.05)
    guard = GuardService(settings_for(digits_store, deadline_seconds=0.05))
    async with serving(guard) as client:
        check(await client.post("/classify", content=IMAGE), 504, "deadline", "no verdict within 0.05 s")
        value = guard.metrics.registry.get_sample_value
        assert value("guard_requests_rejected_total", {"reason": "deadline"}) == 1
        assert value("guard_requests_in_flight") == 0
        held_guard_session.release()


@pytest.fixture
def unforgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run that fails ends the loop."""
    monkeypatch.setattr("mutant_guard.runtime.scheduling.scheduler._MOST_FAILURES", 1)


async def test_a_run_that_fails_is_a_problem_for_its_requests_alone(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    held_guard_session.failure = RuntimeError("CUDA error 700 at /secret/path")
    guard = GuardService(settings_for(digits_store))
    with capture_logs():
        async with serving(guard) as client:
            first = asyncio.ensure_future(client.post("/classify", content=IMAGE))
            await asyncio.to_thread(held_guard_session.entered.wait, 10)
            held_guard_session.release()
            check(await first, 503, "run-failed", "try again")
            assert (await first).headers["retry-after"] == "2"
            assert "secret" not in (await first).text
            held_guard_session.failure = None
            assert (await client.post("/classify", content=IMAGE)).status_code == 200
            assert (await client.get("/readyz")).status_code == 200
            assert (await client.get("/livez")).status_code == 200
    value = guard.metrics.registry.get_sample_value
    assert value("guard_requests_rejected_total", {"reason": "run-failed"}) == 1
    assert value("guard_run_failures_total") == 1


@pytest.mark.usefixtures("unforgiving")
async def test_a_dead_loop_is_a_problem_for_everyone_and_for_the_readiness_probe(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    held_guard_session.failure = RuntimeError("CUDA error 700 at /secret/path")
    with capture_logs():
        async with serving(GuardService(settings_for(digits_store))) as client:
            first = asyncio.ensure_future(client.post("/classify", content=IMAGE))
            await asyncio.to_thread(held_guard_session.entered.wait, 10)
            held_guard_session.release()
            check(await first, 503, "not-ready", "needs a restart")
            assert "secret" not in (await first).text
            check(await client.post("/classify", content=OTHER), 503, "not-ready", "not running")
            ready = await client.get("/readyz")
            check(ready, 503, "not-ready", "not running")
            assert ready.headers["retry-after"] == "2"
            check(await client.get("/livez"), 503, "not-ready", "needs a restart")


@pytest.mark.usefixtures("unforgiving")
@pytest.mark.parametrize("inline_ms", [0.0, 1000.0], ids=["threads", "turns"])
async def test_when_a_loop_dies_everyone_who_waits_is_told_at_once(
    inline_ms: float, digits_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No waiting request is left until its deadline, and later requests are refused."""
    guard, bodies = (
        GuardService(settings_for(digits_store, inline_ms=inline_ms)),
        [encode(image) for image in digits(20)],
    )

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    with capture_logs(), anyio.fail_after(10):
        async with serving(guard) as client:
            monkeypatch.setattr(BankSession, "scores", fail)
            answers = await asyncio.gather(*(client.post("/classify", content=body) for body in bodies))
            assert {answer.status_code for answer in answers} == {503}
            assert all(answer.headers["retry-after"] == "2" for answer in answers)
            for path in ("/readyz", "/livez", "/v2/health/ready", "/v2/health/live"):
                assert (await client.get(path)).status_code >= 400
            assert (await client.post("/classify?explain=true", content=IMAGE)).status_code == 503
            value = guard.metrics.registry.get_sample_value
            assert value("guard_requests_in_flight") == 0
            assert value("guard_requests_rejected_total", {"reason": "not-ready"}) == 21


async def test_a_draining_server_is_not_ready_and_still_answers(digits_store: Path) -> None:
    guard = GuardService(settings_for(digits_store))
    async with serving(guard) as client:
        guard.draining = True
        check(await client.get("/readyz"), 503, "not-ready", "about to stop")
        assert (await client.get("/livez")).status_code == 200
        assert (await client.post("/classify", content=IMAGE)).status_code == 200


async def test_a_stopped_server_is_not_ready_and_alive(digits_store: Path) -> None:
    guard = GuardService(settings_for(digits_store))
    async with serving(guard) as client:
        guard.models.default.close()
        check(await client.get("/readyz"), 503, "not-ready", "not running")
        check(await client.post("/classify", content=IMAGE), 503, "not-ready", "not running")
        assert (await client.get("/livez")).status_code == 200


async def test_a_fault_of_ours_is_a_problem_that_gives_nothing_away(
    digits_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(body: bytes, **_: object) -> None:
        raise ZeroDivisionError("secret")

    guard = GuardService(settings_for(digits_store))
    monkeypatch.setattr(guard, "judge", fail)
    async with serving(guard, raise_errors=False) as client:
        answer = await client.post("/classify", content=IMAGE)
    check(answer, 500, "internal-error", "the server failed on this request")
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadImageError, 422),
        (QueueFullError, 429),
        (NotFiniteError, 422),
        (NotReadyError, 503),
        (RunFailedError, 503),
        (DeadlineError, 504),
        (RequestError, 500),
    ],
)
async def test_every_refusal_has_its_status(error: type[RequestError], status: int) -> None:
    assert status_of(error("why")) == status


@pytest.mark.parametrize(
    ("path", "status"),
    [("who?explain=7", 422), ("full", 429), ("fault", 500), ("nothing", 404), ("admin", 405)],
)
async def test_under_v2_a_problem_says_the_same_as_an_error_of_the_open_inference_protocol(
    path: str, status: int
) -> None:
    async with calling() as client:
        answer = await client.get(f"/v2/{path}")
        plain = (await client.get(f"/{path.replace('admin', 'v2x')}")).json()
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["error"] == found["detail"]
    assert found.keys() == plain.keys() | {"error"}
    assert "error" not in plain


async def test_the_documentation_of_v2_has_the_error_as_well() -> None:
    (plain,) = documented(429)[429]["content"].values()
    (inference,) = documented(429, kind=InferenceProblem)[429]["content"].values()
    members = {"type", "title", "status", "detail"}
    assert set(plain["schema"]["properties"]) == set(plain["schema"]["required"]) == members
    assert (
        set(inference["schema"]["properties"]) == set(inference["schema"]["required"]) == members | {"error"}
    )
    assert documented(429)[429]["description"] == "Too Many Requests"


async def test_a_problem_brings_its_own_headers_and_its_own_time_to_try_again() -> None:
    own = response(429, "rate-limited", "wait", {"Retry-After": "7", "X-Other": "a"})
    assert (own.headers["retry-after"], own.headers["x-other"]) == ("7", "a")
    assert response(429, "queue-full", "wait").headers["retry-after"] == "1"
    error = ProblemError(401, "no-key", "send one", headers={"WWW-Authenticate": "Bearer"})
    assert (error.headers, ProblemError(415, "unsupported-type", "no").headers) == (
        {"WWW-Authenticate": "Bearer"},
        {},
    )
