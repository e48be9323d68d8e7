"""``/classify`` and related routes: answers, metrics and the OpenAPI document."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from mutant_guard.store.reader import Store
from mutant_guard.wire.verdict import Classification
from service.guard_service import GuardService
from service.http.app import create_app
from service.http.problems import REASONS
from tests.support.service import FIELDS, digits, encode, samples, serving, settings_for

pytestmark = pytest.mark.anyio

IMAGE = encode(digits(1)[0])


async def scraped(client: AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return samples(answer.text)


async def test_an_answer_has_exactly_the_designed_fields(client: AsyncClient, store: Store) -> None:
    answer = await client.post("/classify", content=IMAGE)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    assert list(found) == FIELDS
    assert found["store"] == {"name": "digits", "version": store.version}
    assert found["class_name"] == str(found["label"])
    assert 0 < found["confidence"] <= 1
    assert found["verdict"] in ("normal", "adversarial", "undecided")
    assert (found["undecided_because"] is None) is (found["verdict"] != "undecided")
    assert found["adversarial"] is (found["verdict"] == "adversarial")
    assert found["label_change_rate"] == round(found["label_changes"] / found["mutants"], 6)
    assert found["policy"] == "calibrated"
    bounds = store.policy("calibrated").error_bounds
    assert found["error_bounds"] == (bounds and bounds._asdict())
    assert found["cached"] is False
    assert found["elapsed_ms"] > 0


async def test_the_error_bounds_are_null_where_the_pool_is_too_small(
    digits_store: Path, store: Store
) -> None:
    assert store.policy("paper").error_bounds is None
    async with serving(GuardService(settings_for(digits_store, policy="paper"))) as client:
        found = (await client.post("/classify", content=IMAGE)).json()
    assert list(found) == FIELDS
    assert found["error_bounds"] is None
    assert found["policy"] == "paper"


async def test_the_second_answer_is_cached_and_otherwise_the_same(client: AsyncClient) -> None:
    own = {"request_id", "cached", "elapsed_ms"}
    first = (await client.post("/classify?explain=true", content=IMAGE)).json()
    second = (await client.post("/classify?explain=true", content=IMAGE)).json()
    assert (first["cached"], second["cached"]) == (False, True)
    assert {k: v for k, v in first.items() if k not in own} == {
        k: v for k, v in second.items() if k not in own
    }


async def test_many_at_once_get_the_answers_they_get_alone(digits_store: Path) -> None:
    files = [encode(image) for image in digits(40, noise=0.3)]
    keep = ("label", "verdict", "mutants", "label_changes")
    async with serving(GuardService(settings_for(digits_store))) as client:
        alone = [(await client.post("/classify", content=file)).json() for file in files]
        answers = await asyncio.gather(*(client.post("/classify", content=file) for file in files))
        together = [answer.json() for answer in answers]
    assert [[one[k] for k in keep] for one in alone] == [[one[k] for k in keep] for one in together]


@pytest.mark.parametrize(
    ("given", "answered"), [("abc-123", "abc-123"), ("x" * 500, "x" * 128)], ids=["short", "long"]
)
async def test_the_request_id_is_the_callers(client: AsyncClient, given: str, answered: str) -> None:
    answer = await client.post("/classify", content=IMAGE, headers={"X-Request-Id": given})
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == answered


async def test_without_one_every_request_gets_an_id_of_its_own(client: AsyncClient) -> None:
    answers = [await client.post("/classify", content=IMAGE) for _ in range(2)]
    found = [answer.json()["request_id"] for answer in answers]
    assert found[0] != found[1]
    assert all(uuid.UUID(one).hex == one for one in found)
    assert [answer.headers["x-request-id"] for answer in answers] == found


async def test_alive_and_ready(client: AsyncClient) -> None:
    alive, ready = await client.get("/livez"), await client.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    assert ready.headers["content-type"] == "application/json"


async def test_the_designed_metrics_are_in_the_exposition(client: AsyncClient) -> None:
    await client.post("/classify", content=IMAGE)
    await client.post("/classify", content=b"")
    names = {name for name, _ in await scraped(client)}
    histograms = {"request_duration_seconds", "stage_duration_seconds", "mutants_evaluated", "batch_rows"}
    plain = {
        "guard_verdicts_total",
        "guard_unguarded_total",
        "guard_not_finite_total",
        "guard_run_failures_total",
        "guard_inference_seconds_total",
        "guard_requests_in_flight",
        "guard_queue_depth",
        "guard_requests_rejected_total",
        "guard_cache_requests_total",
        "guard_store_info",
        "guard_store_mutants",
        "guard_alarm_baseline_ratio",
        "guard_labels_total",
        "guard_calibration_images",
        "guard_undecided_baseline_ratio",
        "guard_order_key_info",
        "guard_review_queued_total",
        "guard_review_lost_total",
    }
    parts = {f"guard_{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    assert names == plain | parts


async def test_verdicts_are_counted_by_store_verdict_and_cached(client: AsyncClient) -> None:
    first = (await client.post("/classify", content=IMAGE)).json()
    for _ in range(2):
        await client.post("/classify", content=IMAGE)
    found = await scraped(client)
    counted = {
        tuple(sorted(labels)): value
        for (name, labels), value in found.items()
        if name == "guard_verdicts_total"
    }
    common = (("store", "digits"), ("verdict", first["verdict"]))
    assert counted.pop((("cached", "false"), *common)) == 1
    assert counted.pop((("cached", "true"), *common)) == 2
    assert set(counted.values()) == {0}
    assert found["guard_request_duration_seconds_count", frozenset()] == 3


async def test_refusals_are_counted_by_reason_and_are_no_verdicts(client: AsyncClient) -> None:
    await client.post("/classify", content=b"no image")
    await client.post("/classify", content=b"no image")
    await client.post("/classify", content=bytes(30_000))
    await client.post("/classify", content=IMAGE, headers={"Content-Type": "text/plain"})
    found = await scraped(client)
    counted = {
        dict(labels)["reason"]: value
        for (name, labels), value in found.items()
        if name == "guard_requests_rejected_total"
    }
    refused = {"bad-image": 2, "body-too-large": 1, "unsupported-type": 1}
    assert counted == dict.fromkeys(REASONS, 0) | refused
    assert found["guard_request_duration_seconds_count", frozenset()] == 0
    assert sum(value for (name, _), value in found.items() if name == "guard_verdicts_total") == 0


async def test_the_documentation_shows_an_answer_and_every_refusal(client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    classify = document["paths"]["/classify"]["post"]
    refusals = {"400", "401", "403", "404", "413", "415", "421", "422", "429", "503", "504"}
    assert set(classify["responses"]) == {"200", *refusals}
    answered = (await client.post("/classify", content=IMAGE)).json()
    examples = classify["responses"]["200"]["content"]["application/json"]["examples"]
    assert set(examples) == {"decided", "undecided"}
    for example in examples.values():
        shown = example["value"]
        assert list(shown) == list(answered)
        assert Classification.model_validate(shown).model_dump(mode="json", exclude_unset=True) == shown
        assert (shown["undecided_because"] is None) is (shown["verdict"] != "undecided")
        assert shown["label_change_rate"] == round(shown["label_changes"] / shown["mutants"], 6)
    reasons = document["components"]["schemas"]["UndecidedBecause"]
    assert reasons["enum"] == ["deadline", "max_mutants", "pool_exhausted", "not_finite"]
    assert all(reason in reasons["description"] for reason in reasons["enum"])
    assert "undecided_because" in document["components"]["schemas"]["Classification"]["required"]
    assert "200, undecided" in classify["responses"]["504"]["description"]
    for status in refusals:
        (kind,) = classify["responses"][status]["content"]
        assert kind == "application/problem+json"
    assert set(classify["requestBody"]["content"]) == {
        "image/png",
        "image/jpeg",
        "image/webp",
        "application/octet-stream",
        "multipart/form-data",
    }
    assert {"/classify", "/livez", "/readyz", "/metrics"} <= set(document["paths"])


async def test_the_loop_runs_while_the_application_does(digits_store: Path) -> None:
    guard = GuardService(settings_for(digits_store))
    app = create_app(guard)
    assert not guard.ready
    async with app.router.lifespan_context(app):
        assert guard.ready
    assert not guard.ready


async def test_a_refusal_names_the_request_as_an_answer_does(digits_store: Path) -> None:
    async with serving(GuardService(settings_for(digits_store))) as client:
        for path in ("/classify", "/v2/models/digits/infer"):
            sent = await client.post(path, content=b"no image", headers={"X-Request-Id": "mine-1"})
            assert sent.status_code >= 400
            assert sent.headers["x-request-id"] == "mine-1"
            assert (await client.post(path, content=b"no image")).headers["x-request-id"]
