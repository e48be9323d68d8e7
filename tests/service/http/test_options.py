"""Options of a request besides the image: the store, the deadline, and the guard on or off."""

import asyncio
from pathlib import Path

import pytest
from httpx import AsyncClient
from starlette.requests import Request

from mutant_guard.wire.verdict import BareClassification, Verdict
from service.guard_service import GuardService
from service.http.options import Options, read_options
from service.http.problems import ProblemError
from tests.support.service import FIELDS, HeldSession, digits, encode, serving, settings_for
from tests.support.versions import add_version, copy_of

pytestmark = pytest.mark.anyio

IMAGE, OTHER = (encode(image) for image in digits(2))
BARE = ["request_id", "store", "label", "class_name", "confidence", "guard", "elapsed_ms"]


def asking(query: str = "", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "query_string": query.encode(), "headers": raw})


def test_nothing_said_is_the_default() -> None:
    assert read_options(asking()) == Options(explain=False, store=None, guard="on", timeout_ms=None)
    assert read_options(asking()).seconds is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("explain=true", Options(explain=True)),
        ("explain=1&store=a%20b", Options(explain=True, store="a b")),
        ("guard=off", Options(guard="off")),
        ("guard=on&store=", Options(store="")),
    ],
)
def test_the_query_is_read(query: str, expected: Options) -> None:
    assert read_options(asking(query)) == expected


@pytest.mark.parametrize(
    ("given", "seconds"), [("1500", 1.5), ("0.25", 0.00025), (" 30 ", 0.03), ("1e3", 1.0)]
)
def test_the_deadline_is_read_in_milliseconds(given: str, seconds: float) -> None:
    assert read_options(asking(x_request_timeout_ms=given)).seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("query", "headers", "where"),
    [
        ("explain=perhaps", {}, "query explain: "),
        ("explain=", {}, "query explain: "),
        ("guard=OFF", {}, "query guard: Input should be 'on' or 'off'"),
        (f"store={'x' * 257}", {}, "query store: "),
        ("", {"x_request_timeout_ms": "0"}, "header X-Request-Timeout-Ms: "),
        ("", {"x_request_timeout_ms": "-5"}, "header X-Request-Timeout-Ms: "),
        ("", {"x_request_timeout_ms": "soon"}, "header X-Request-Timeout-Ms: "),
        ("", {"x_request_timeout_ms": "nan"}, "header X-Request-Timeout-Ms: "),
        ("", {"x_request_timeout_ms": "inf"}, "header X-Request-Timeout-Ms: "),
        ("", {"x_request_timeout_ms": ""}, "header X-Request-Timeout-Ms: "),
    ],
)
def test_what_does_not_parse_is_named(query: str, headers: dict[str, str], where: str) -> None:
    with pytest.raises(ProblemError) as caught:
        read_options(asking(query, **headers))
    assert (caught.value.status, caught.value.code) == (422, "bad-parameter")
    assert caught.value.detail.startswith(where)


async def test_over_http_what_does_not_parse_is_refused_and_counted(digits_store: Path) -> None:
    guard = GuardService(settings_for(digits_store))
    async with serving(guard) as client:
        for query, headers in (("?guard=no", {}), ("", {"X-Request-Timeout-Ms": "0"})):
            answer = await client.post(f"/classify{query}", content=IMAGE, headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (
                422,
                "urn:mutant-guard:problem:bad-parameter",
            )
    value = guard.metrics.registry.get_sample_value
    assert value("guard_requests_rejected_total", {"reason": "bad-parameter"}) == 2


async def test_the_documentation_has_every_option_with_its_limits(client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    parameters = {one["name"]: one for one in document["paths"]["/classify"]["post"]["parameters"]}
    assert {name: one["in"] for name, one in parameters.items()} == {
        "explain": "query",
        "store": "query",
        "guard": "query",
        "X-Request-Timeout-Ms": "header",
    }
    assert parameters["guard"]["schema"]["enum"] == ["on", "off"]
    assert parameters["store"]["schema"]["maxLength"] == 256
    assert parameters["X-Request-Timeout-Ms"]["schema"]["exclusiveMinimum"] == 0
    assert all(one["description"] and one["required"] is False for one in parameters.values())


async def test_a_store_is_chosen_by_its_name(
    digits_store: Path, retrained_store: Path, tmp_path: Path
) -> None:
    soft = copy_of(retrained_store, tmp_path)
    add_version(soft, name="soft digits")
    guard = GuardService(settings_for(digits_store, soft))
    async with serving(guard) as client:
        for query, name in (
            ("", "digits"),
            ("?store=digits", "digits"),
            ("?store=soft+digits", "soft digits"),
        ):
            found = (await client.post(f"/classify{query}", content=IMAGE)).json()
            assert found["store"] == {"name": name, "version": guard.models.get(name).version}
            assert (found["doubt"] is None) is (name == "digits")
        answer = await client.post("/classify?store=mnist", content=IMAGE)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:mutant-guard:problem:unknown-store")
        assert answer.json()["detail"] == "there is no store 'mnist'; this server has digits, soft digits"
    value = guard.metrics.registry.get_sample_value
    for name, count in (("digits", 2), ("soft digits", 1)):
        labels = [
            {"store": name, "verdict": verdict, "cached": "false"} for verdict in ("normal", "adversarial")
        ]
        assert sum(value("guard_verdicts_total", one) or 0 for one in labels) == count


async def test_without_the_guard_the_answer_is_the_bare_label(digits_store: Path) -> None:
    guard = GuardService(settings_for(digits_store, allow_guard_off=True))
    async with serving(guard) as client:
        guarded = (await client.post("/classify", content=IMAGE)).json()
        answer = await client.post("/classify?guard=off", content=IMAGE, headers={"X-Request-Id": "bare"})
    assert answer.status_code == 200
    found = answer.json()
    assert list(found) == BARE
    assert BareClassification.model_validate(found).model_dump(mode="json") == found
    assert (found["request_id"], answer.headers["x-request-id"], found["guard"]) == ("bare", "bare", "off")
    for name in ("store", "label", "class_name"):
        assert found[name] == guarded[name]
    value = guard.metrics.registry.get_sample_value
    assert value("guard_unguarded_total", {"store": "digits"}) == 1
    verdicts = [{"store": "digits", "verdict": one.value, "cached": "false"} for one in Verdict]
    assert sum(value("guard_verdicts_total", labels) or 0 for labels in verdicts) == 1
    assert value("guard_request_duration_seconds_count") == 2


async def test_whoever_may_not_see_scores_sees_none_of_the_bare_label(digits_store: Path) -> None:
    settings = settings_for(digits_store, allow_guard_off=True, response_detail="verdict")
    async with serving(GuardService(settings)) as client:
        found = (await client.post("/classify?guard=off", content=IMAGE)).json()
    assert list(found) == [name for name in BARE if name not in ("confidence", "elapsed_ms")]


async def test_without_leave_there_is_no_bare_label(client: AsyncClient) -> None:
    answer = await client.post("/classify?guard=off", content=IMAGE)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:mutant-guard:problem:guard-required")
    assert "GUARD_ALLOW_GUARD_OFF=true" in answer.json()["detail"]
    assert list((await client.post("/classify?guard=on", content=IMAGE)).json()) == FIELDS


async def held_past_the_deadline(
    guard: GuardService, session: HeldSession, headers: dict[str, str], seconds: float
) -> tuple[int, dict[str, object]]:
    """Return status and body for a request whose first run takes ``seconds``."""
    async with serving(guard) as client:
        asked = asyncio.ensure_future(client.post("/classify", content=IMAGE, headers=headers))
        await asyncio.to_thread(session.entered.wait, 10)
        await asyncio.sleep(seconds)
        session.release()
        answer = await asked
        return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("setting", "timeout", "expected"),
    [
        (0.05, None, ("deadline", 20)),
        (0.05, "60000", ("deadline", 20)),  # the header never prolongs the deadline
        (30.0, "60000", ("pool_exhausted", 60)),
    ],
)
async def test_past_the_servers_deadline_the_answer_is_undecided_with_what_is_known(
    setting: float,
    timeout: str | None,
    expected: tuple[str, int],
    digits_store: Path,
    held_guard_session: HeldSession,
) -> None:
    settings = settings_for(
        digits_store, deadline_seconds=setting, max_batch_rows=20, batch_rows=1, policy="paper"
    )
    headers = {} if timeout is None else {"X-Request-Timeout-Ms": timeout}
    status, found = await held_past_the_deadline(GuardService(settings), held_guard_session, headers, 0.1)
    assert (status, found["verdict"]) == (200, "undecided")
    assert (found["undecided_because"], found["mutants"]) == expected


SHORT = {"X-Request-Timeout-Ms": "50"}


async def test_a_caller_who_shortens_the_deadline_turns_no_alarm_off(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    """Some mutants were evaluated, and still the label is not given away beside ``adversarial: false``."""
    guard = GuardService(settings_for(digits_store, max_batch_rows=20, batch_rows=1, policy="paper"))
    status, found = await held_past_the_deadline(guard, held_guard_session, SHORT, 0.1)
    assert (status, found["type"]) == (504, "urn:mutant-guard:problem:deadline")
    assert "no verdict within 0.05 s, which is what the request allows; allow more" in str(found["detail"])
    value = guard.metrics.registry.get_sample_value
    assert value("guard_requests_rejected_total", {"reason": "deadline"}) == 1


async def test_where_undecided_is_an_alarm_a_short_deadline_is_one(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    settings = settings_for(
        digits_store, alarm_on_undecided=True, max_batch_rows=20, batch_rows=1, policy="paper"
    )
    status, found = await held_past_the_deadline(GuardService(settings), held_guard_session, SHORT, 0.1)
    assert (status, found["undecided_because"], found["adversarial"]) == (200, "deadline", True)


@pytest.mark.parametrize("floor", [20.0, 30.0, 60.0])
async def test_a_deadline_below_the_servers_floor_is_raised_to_it(
    floor: float, digits_store: Path, held_guard_session: HeldSession
) -> None:
    settings = settings_for(
        digits_store, min_deadline_seconds=floor, max_batch_rows=20, batch_rows=1, policy="paper"
    )
    status, found = await held_past_the_deadline(GuardService(settings), held_guard_session, SHORT, 0.1)
    assert (status, found["undecided_because"], found["mutants"]) == (200, "pool_exhausted", 60)


async def test_or_it_is_an_error_where_the_settings_say_so(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    guard = GuardService(
        settings_for(digits_store, on_deadline="error", max_batch_rows=20, batch_rows=1, policy="paper")
    )
    status, found = await held_past_the_deadline(
        guard, held_guard_session, {"X-Request-Timeout-Ms": "50"}, 0.1
    )
    assert (status, found["type"]) == (504, "urn:mutant-guard:problem:deadline")
    assert "no verdict within 0.05 s" in str(found["detail"])
    value = guard.metrics.registry.get_sample_value
    assert value("guard_requests_rejected_total", {"reason": "deadline"}) == 1


async def test_a_deadline_that_passes_while_others_are_served_is_an_error(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    """No answer is known yet of an image that no run has held."""
    async with serving(GuardService(settings_for(digits_store))) as client:
        first = asyncio.ensure_future(client.post("/classify", content=IMAGE))
        await asyncio.to_thread(held_guard_session.entered.wait, 10)
        headers = {"X-Request-Timeout-Ms": "50"}
        second = asyncio.ensure_future(client.post("/classify", content=OTHER, headers=headers))
        await asyncio.sleep(0.1)
        held_guard_session.release()
        assert (await second).status_code == 504
        assert (await first).status_code == 200
