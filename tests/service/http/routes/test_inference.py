"""Inference of the Open Inference Protocol: limits, deadlines, all or nothing, and counts."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient, Response
from structlog.testing import capture_logs

from mutant_guard.errors import BadImageError, QueueFullError
from mutant_guard.runtime.answer import Answer
from service.guard_service import GuardService
from service.http.app import create_app
from tests.support.service import HeldSession, digits, encode, samples, serving, settings_for
from tests.support.versions import add_version, copy_of

pytestmark = pytest.mark.anyio

FILES = [encode(image) for image in digits(3)]
INFER = "/v2/models/digits/infer"


@pytest.fixture
def guard(digits_store: Path) -> GuardService:
    limits = {"max_body_bytes": 20_000, "max_images": 4}
    return GuardService(settings_for(digits_store, cache_seconds=60.0, **limits))


@pytest.fixture
async def client(guard: GuardService, anyio_backend: str) -> AsyncIterator[AsyncClient]:
    async with serving(guard) as client:
        yield client


def asking(files: list[bytes], **further: object) -> dict[str, Any]:
    data = [base64.b64encode(file).decode() for file in files]
    return {"inputs": [{"name": "image", "shape": [len(files)], "datatype": "BYTES", "data": data}]} | further


def outputs(answer: Response) -> dict[str, list[Any]]:
    assert answer.status_code == 200, answer.text
    return {output["name"]: output["data"] for output in answer.json()["outputs"]}


def problem(answer: Response) -> tuple[int, str]:
    """Return status and code of a refusal, after checking that its error repeats its detail."""
    found = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert found["error"] == found["detail"]
    assert found["status"] == answer.status_code
    return answer.status_code, found["type"].removeprefix("urn:mutant-guard:problem:")


async def test_the_answer_bears_the_id_of_the_request_and_of_its_headers(client: AsyncClient) -> None:
    answer = await client.post(INFER, json=asking(FILES[:1], id="mine"), headers={"X-Request-Id": "theirs"})
    assert answer.json()["id"] == "mine"
    assert answer.headers["x-request-id"] == "theirs"
    assert "id" not in (await client.post(INFER, json=asking(FILES[:1]))).json()


async def test_soft_doubts_are_given_as_classify_gives_them(retrained_store: Path) -> None:
    async with serving(GuardService(settings_for(retrained_store))) as client:
        found = outputs(await client.post(INFER, json=asking(FILES)))
        for number, file in enumerate(FILES):
            alone = (await client.post("/classify", content=file)).json()
            assert alone["doubt"] is not None
            assert found["doubt"][number] == pytest.approx(alone["doubt"], abs=1e-6)
            assert found["decided_by"][number] == alone["decided_by"]


async def test_undecided_is_an_alarm_where_the_settings_say_so(digits_store: Path) -> None:
    for alarm in (False, True):
        settings = settings_for(digits_store, max_mutants=1, alarm_on_undecided=alarm)
        async with serving(GuardService(settings)) as client:
            found = outputs(await client.post(INFER, json=asking(FILES[:1])))
        assert (found["verdict"], found["decided_by"]) == (["undecided"], [""])
        assert found["adversarial"] == [alarm]


@pytest.mark.parametrize(
    ("content", "headers", "expected"),
    [
        (b"{}", {"Content-Type": "text/plain"}, (415, "unsupported-type")),
        (b"{}", {"Content-Encoding": "gzip"}, (415, "unsupported-type")),
        (b"{}", {"Inference-Header-Content-Length": "-1"}, (422, "bad-parameter")),
        (b"{}", {"Inference-Header-Content-Length": "x"}, (422, "bad-parameter")),
        (b"{}", {"X-Request-Timeout-Ms": "0"}, (422, "bad-parameter")),
        (b"{}", {"Inference-Header-Content-Length": "3"}, (400, "bad-inference-request")),
        (b"{}", {}, (400, "bad-inference-request")),
        (b"", {}, (400, "bad-inference-request")),
        (bytes(20_001), {}, (413, "body-too-large")),
    ],
)
async def test_what_is_wrong_with_a_request_is_said_by_its_status(
    client: AsyncClient, content: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    assert problem(await client.post(INFER, content=content, headers=headers)) == expected


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/OCTET-STREAM", None])
async def test_json_is_read_under_the_types_that_clients_give_it(
    client: AsyncClient, kind: str | None
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = await client.post(INFER, content=json.dumps(asking(FILES[:1])), headers=headers)
    assert answer.status_code == 200


async def test_more_images_than_are_admitted_are_refused_as_a_whole(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    guard = GuardService(settings_for(digits_store, max_images=4, max_in_flight=3))
    async with serving(guard) as client:
        refused = await client.post(INFER, json=asking([*FILES, FILES[0]]))
        assert problem(refused) == (429, "queue-full")
        assert refused.headers["retry-after"]
        assert guard.models.default.scheduler.in_flight == 0
        held_guard_session.release()
        assert len(outputs(await client.post(INFER, json=asking(FILES)))["label"]) == 3


async def test_more_images_than_a_request_may_hold_are_refused(client: AsyncClient) -> None:
    assert problem(await client.post(INFER, json=asking([*FILES, *FILES]))) == (400, "bad-inference-request")


async def test_a_large_body_is_read_beside_the_event_loop(
    client: AsyncClient, guard: GuardService, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = []
    to_thread = asyncio.to_thread

    async def counted(call: Any, *args: Any) -> Any:
        beside.append(call)
        return await to_thread(call, *args)

    monkeypatch.setattr("service.http.routes.inference._ASIDE_BYTES", 2_000)
    monkeypatch.setattr("service.http.routes.inference.asyncio.to_thread", counted)
    assert outputs(await client.post(INFER, json=asking(FILES[:1])))
    assert beside == []
    padded = asking(FILES[:1], parameters={"padding": "x" * 2_000})
    assert outputs(await client.post(INFER, json=padded))
    assert len(beside) == 1


@pytest.mark.parametrize(
    ("timeout", "header", "seconds"),
    [
        (None, None, None),
        (2_000_000, None, 2.0),
        (None, "500", 0.5),
        (2_000_000, "500", 0.5),
        (1000, "500", 1e-3),
    ],
)
async def test_the_sooner_deadline_holds_for_every_image(
    client: AsyncClient,
    guard: GuardService,
    monkeypatch: pytest.MonkeyPatch,
    timeout: int | None,
    header: str | None,
    seconds: float | None,
) -> None:
    given = []

    async def refuse(image: bytes, *, store: str, seconds: float | None, query: None) -> Answer:
        given.append(seconds)
        raise QueueFullError("full")

    monkeypatch.setattr(guard, "judge", refuse)
    await client.post(
        INFER,
        json=asking(FILES, parameters={} if timeout is None else {"timeout": timeout}),
        headers={} if header is None else {"X-Request-Timeout-Ms": header},
    )
    assert given == [seconds] * 3


@pytest.mark.parametrize("alarm", [False, True])
async def test_a_deadline_that_the_request_shortened_turns_no_alarm_off(
    alarm: bool, digits_store: Path, held_guard_session: HeldSession
) -> None:
    settings = settings_for(
        digits_store, alarm_on_undecided=alarm, max_batch_rows=20, batch_rows=1, policy="paper"
    )
    async with serving(GuardService(settings)) as client:
        asked = asyncio.ensure_future(
            client.post(INFER, json=asking(FILES[:1], parameters={"timeout": 50_000}))
        )
        await asyncio.to_thread(held_guard_session.entered.wait, 10)
        await asyncio.sleep(0.1)  # the deadline passes while the run is under way
        held_guard_session.release()
        answer = await asked
    if alarm:
        found = outputs(answer)
        assert (found["verdict"], found["undecided_because"]) == (["undecided"], ["deadline"])
        assert found["adversarial"] == [True]
    else:
        assert problem(answer) == (504, "deadline")
        assert "no verdict within 0.05 s, which is what the request allows" in answer.json()["error"]


async def test_the_first_error_is_the_answer_and_the_other_images_are_given_up(
    client: AsyncClient, guard: GuardService, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    async def judge(image: bytes, *, store: str, seconds: float | None, query: None) -> Answer:
        number = FILES.index(image)
        if number == 1:
            await asyncio.sleep(0)
            raise BadImageError("it is torn")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append(number)
            raise
        raise AssertionError("nobody gave it up")

    monkeypatch.setattr(guard, "judge", judge)
    answer = await asyncio.wait_for(client.post(INFER, json=asking(FILES)), 10)
    assert problem(answer) == (422, "bad-image")
    assert answer.json()["detail"] == "image 1 of 3: it is torn"
    assert ended == [0, 2]


async def test_every_image_is_counted_and_logged_under_one_id(client: AsyncClient) -> None:
    with capture_logs() as logs:
        await client.post(INFER, json=asking(FILES), headers={"X-Request-Id": "mine"})
        await client.post(INFER, json=asking([b"text"]), headers={"X-Request-Id": "torn"})
        await client.post(INFER, json={}, headers={"X-Request-Id": "empty"})
    told = [(one["event"], one["request_id"]) for one in logs if "request_id" in one]
    assert told == [("classified", "mine")] * 3 + [("refused", "torn"), ("refused", "empty")]
    found = samples((await client.get("/metrics")).text)
    assert sum(value for (name, _), value in found.items() if name == "guard_verdicts_total") == 3
    for reason in ("bad-image", "bad-inference-request"):
        assert found["guard_requests_rejected_total", frozenset({("reason", reason)})] == 1


async def test_a_version_that_is_replaced_meanwhile_is_not_answered_for(
    digits_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request names the old version, and the new one judges."""
    store = copy_of(digits_store, tmp_path)
    guard = GuardService(settings_for(store))
    before = guard.models.default.version
    judge = guard.judge

    async def reload_first(image: bytes, **options: Any) -> Answer:
        await guard.load("digits")
        return await judge(image, **options)

    async with serving(guard) as client:
        added = add_version(store, built_with={"by": "a test"})
        monkeypatch.setattr(guard, "judge", reload_first)
        named = f"/v2/models/digits/versions/{before}/infer"
        assert problem(await client.post(named, json=asking(FILES[:1]))) == (404, "unknown-version")
        answer = await client.post(INFER, json=asking(FILES[:1]))
        assert answer.json()["model_version"] == added


async def test_a_client_that_goes_away_frees_what_is_in_flight(
    digits_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = GuardService(settings_for(digits_store))
    started, ended = asyncio.Event(), []

    async def judge(image: bytes, *, store: str, seconds: float | None, query: None) -> Answer:
        started.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(image)
        raise AssertionError("nobody gave it up")

    monkeypatch.setattr(guard, "judge", judge)
    body = json.dumps(asking(FILES)).encode()
    gone = asyncio.Event()
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": INFER, "query_string": b"", "headers": []}
    serve = asyncio.create_task(create_app(guard)(scope, receive, send))
    await asyncio.wait_for(started.wait(), 10)
    gone.set()
    await asyncio.wait_for(serve, 10)
    assert sorted(ended) == sorted(FILES)
    assert sent[0]["status"] == 400
