"""The review queue over HTTP."""

import asyncio
import io
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from httpx import AsyncClient, Response
from PIL import Image
from structlog.testing import capture_logs

from benchmarks.serving.redis_server import RedisServer
from mutant_store.datasets import load
from service.guard_service import GuardService
from service.keys.api_keys import Role
from service.review.export import archive
from service.review.item import Item
from service.review.queue import Wanted
from tests.support.api_keys import add_key
from tests.support.reviews import found, ruling
from tests.support.service import digits, encode, serving, settings_for
from tests.support.versions import add_version, copy_of

pytestmark = pytest.mark.anyio

PNG = {"Content-Type": "image/png"}
NOISY = digits(60, noise=0.6)


async def post_until_queued(client: AsyncClient, count: int, headers: dict[str, str] | None = None) -> Any:
    """Post images until the review queue has ``count`` entries, and return a page of them."""
    for image in NOISY:
        answer = await client.post("/classify", content=encode(image), headers=PNG | (headers or {}))
        assert answer.status_code == 200
    async with asyncio.timeout(10):
        while True:
            page = await client.get("/review", params={"limit": 200}, headers=headers)
            assert page.status_code == 200, page.text
            if len(page.json()["entries"]) >= count:
                return page.json()
            await asyncio.sleep(0.01)


async def decide(client: AsyncClient, name: str, **decision: object) -> Response:
    return await client.post(f"/review/{name}", json=decision)


def problem(answer: Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


async def test_an_alarm_is_listed_shown_and_decided(digits_store: Path) -> None:
    async with serving(GuardService(settings_for(digits_store, review_images=True))) as client:
        page = await post_until_queued(client, 3)
        assert page["open"] == len(page["entries"])
        assert page["next"] is None
        entry = page["entries"][0]
        assert entry["state"] == "open"
        assert entry["verdict"] == "adversarial"
        assert "explanation" not in entry
        details = (await client.get(f"/review/{entry['id']}")).json()
        assert len(details.pop("explanation")["evidence"]) == entry["mutants"]
        assert details == entry
        image = await client.get(f"/review/{entry['id']}/image")
        assert image.headers["content-type"] == "image/png"
        with Image.open(io.BytesIO(image.content)) as picture:
            assert any((np.asarray(picture) == noisy).all() for noisy in NOISY)
        decided = (await decide(client, entry["id"], decision="confirm", label=5)).json()
        assert (decided["state"], decided["true_label"], decided["true_class_name"]) == ("confirmed", 5, "5")
        assert decided["reviewed_at"] is not None
        assert decided["reviewer"] is None
        assert entry["id"] not in [one["id"] for one in (await client.get("/review")).json()["entries"]]
        listed = (await client.get("/review", params={"state": "confirmed"})).json()
        assert [one["id"] for one in listed["entries"]] == [entry["id"]]
        assert listed["open"] == page["open"] - 1


async def test_pages_follow_each_other(digits_store: Path) -> None:
    async with serving(GuardService(settings_for(digits_store))) as client:
        everything = [entry["id"] for entry in (await post_until_queued(client, 5))["entries"]]
        found: list[str] = []
        before: str | None = None
        while True:
            query: dict[str, str | int] = {"limit": 2} | ({"before": before} if before else {})
            page = (await client.get("/review", params=query)).json()
            assert 0 < len(page["entries"]) <= 2
            found += [entry["id"] for entry in page["entries"]]
            before = page["next"]
            if before is None:
                break
        assert found == everything


async def test_a_decision_may_be_changed_and_dismissing_confirms_the_label(digits_store: Path) -> None:
    async with serving(GuardService(settings_for(digits_store))) as client:
        entry = (await post_until_queued(client, 1))["entries"][0]
        attack = (await decide(client, entry["id"], decision="confirm")).json()
        assert (attack["state"], attack["true_label"]) == ("confirmed", None)
        dismissed = (await decide(client, entry["id"], decision="dismiss")).json()
        assert (dismissed["state"], dismissed["true_label"]) == ("dismissed", entry["label"])
        assert dismissed["true_class_name"] == entry["class_name"]


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ('{"decision": "confirm"}', "text/plain", (415, "unsupported-type")),
        ('{"decision": "confirm"}', "", (415, "unsupported-type")),
        ("", "application/json", (422, "bad-decision")),
        ("[]", "application/json", (422, "bad-decision")),
        ('{"decision": "maybe"}', "application/json", (422, "bad-decision")),
        ('{"decision": "confirm", "label": 10}', "application/json", (422, "bad-decision")),
        ('{"decision": "confirm", "label": -1}', "application/json", (422, "bad-decision")),
        ('{"decision": "confirm", "label": "5"}', "application/json", (422, "bad-decision")),
        ('{"decision": "confirm", "more": 1}', "application/json", (422, "bad-decision")),
        ('{"decision": "dismiss", "label": 77}', "application/json", (422, "bad-decision")),
        (" " * 5000, "application/json", (413, "body-too-large")),
    ],
)
async def test_what_is_no_decision_changes_nothing(
    body: str, kind: str, expected: tuple[int, str], digits_store: Path
) -> None:
    async with serving(GuardService(settings_for(digits_store))) as client:
        entry = (await post_until_queued(client, 1))["entries"][0]
        answer = await client.post(f"/review/{entry['id']}", content=body, headers={"Content-Type": kind})
        assert problem(answer) == expected
        assert (await client.get(f"/review/{entry['id']}")).json()["state"] == "open"


async def test_what_is_not_there_is_404_with_the_remedy(digits_store: Path) -> None:
    async with serving(GuardService(settings_for(digits_store))) as client:
        entry = (await post_until_queued(client, 1))["entries"][0]
        assert problem(await client.get("/review/1-0")) == (404, "unknown-entry")
        assert problem(await client.get("/review/1-0/image")) == (404, "unknown-entry")
        assert problem(await decide(client, "x", decision="confirm")) == (404, "unknown-entry")
        no_image = await client.get(f"/review/{entry['id']}/image")
        assert problem(no_image) == (404, "no-image")
        assert "GUARD_REVIEW_IMAGES" in no_image.json()["detail"]
        assert problem(await client.get("/review/export")) == (404, "nothing-to-export")
        assert problem(await client.get("/review", params={"before": "x"})) == (422, "bad-parameter")
    async with serving(GuardService(settings_for(digits_store, review_entries=0))) as client:
        for path in ("/review", "/review/1-0", "/review/export"):
            assert problem(await client.get(path)) == (404, "review-off")


@pytest.mark.parametrize("role", [None, Role.CLIENT, Role.REVIEWER, Role.ADMIN])
async def test_who_may_review(role: Role | None, digits_store: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = {one: add_key(path, f"the-{one.value}", role=one) for one in Role}
    reviewer = {"X-API-Key": keys[Role.REVIEWER]}
    async with serving(GuardService(settings_for(digits_store, api_keys_file=path))) as client:
        entry = (await post_until_queued(client, 1, reviewer))["entries"][0]
        headers = {} if role is None else {"X-API-Key": keys[role]}
        listed = await client.get("/review", headers=headers)
        decided = await client.post(f"/review/{entry['id']}", json={"decision": "confirm"}, headers=headers)
        if role in {Role.REVIEWER, Role.ADMIN}:
            assert listed.status_code == 200
            assert decided.json()["reviewer"] == f"the-{role.value}"
        else:
            refused = (401, "no-key") if role is None else (403, "not-reviewer")
            assert problem(listed) == problem(decided) == refused


async def test_who_reviews_and_who_may_not_is_logged_and_counted(digits_store: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = {one: add_key(path, f"the-{one.value}", role=one) for one in Role}
    reviewer, client_key = {"X-API-Key": keys[Role.REVIEWER]}, {"X-API-Key": keys[Role.CLIENT]}
    guard = GuardService(settings_for(digits_store, api_keys_file=path, review_images=True))
    async with serving(guard) as client:
        entry = (await post_until_queued(client, 1, reviewer))["entries"][0]["id"]
        with capture_logs() as logs:
            refused = await client.get(f"/review/{entry}", headers=client_key | {"X-Request-Id": "mine"})
            await client.get("/alarm-rate")
            await client.get("/review/1-1", headers=reviewer)
            assert (await client.get("/review", headers=reviewer)).status_code == 200
            assert (await client.get(f"/review/{entry}", headers=reviewer)).status_code == 200
            assert (await client.get(f"/review/{entry}/image", headers=reviewer)).status_code == 200
            await client.post(f"/review/{entry}", json={"decision": "dismiss"}, headers=reviewer)
            assert (await client.get("/review/export", headers=reviewer)).status_code == 200
            gone = [
                (await client.delete(f"/review/{entry}", headers=headers)).status_code
                for headers in (client_key, reviewer, reviewer)
            ]
            assert gone == [403, 204, 404]
    assert refused.headers["x-request-id"] == "mine"
    refusals = [line for line in logs if line["event"] == "refused"]
    assert [(line["reason"], line["status"], line["key"]) for line in refusals] == [
        ("not-reviewer", 403, "the-client"),
        ("no-key", 401, None),
        ("unknown-entry", 404, "the-reviewer"),
        ("not-reviewer", 403, "the-client"),
        ("unknown-entry", 404, "the-reviewer"),
    ]
    reviewed = [line for line in logs if line["event"] == "reviewed"]
    assert all(line["request_id"] and line["peer"] == "127.0.0.1" for line in refusals + reviewed)
    assert [(line["action"], line["entry"], line["key"]) for line in reviewed] == [
        ("list", None, "the-reviewer"),
        ("look", entry, "the-reviewer"),
        ("image", entry, "the-reviewer"),
        ("dismiss", entry, "the-reviewer"),
        ("export", None, "the-reviewer"),
        ("delete", entry, "the-reviewer"),
    ]
    rejected = {
        reason: guard.metrics.registry.get_sample_value("guard_requests_rejected_total", {"reason": reason})
        for reason in ("not-reviewer", "no-key", "unknown-entry")
    }
    assert rejected == {"not-reviewer": 2.0, "no-key": 1.0, "unknown-entry": None}


async def test_a_label_that_cannot_be_checked_is_refused(
    digits_store: Path, running_redis: RedisServer
) -> None:
    guard = GuardService(settings_for(digits_store, redis_url=running_redis.url, redis_timeout_ms=500.0))
    async with serving(guard) as client:
        assert guard.state.reviews is not None
        queue = guard.state.reviews.queue
        await queue.add("key", found(store={"name": "mnist", "version": "v"}), None)
        (item,) = await queue.newest(Wanted())
        assert problem(await decide(client, item.id, decision="confirm", label=999)) == (422, "bad-decision")
        for label in (item.found.suggested_label, item.found.label, None):
            assert (await decide(client, item.id, decision="confirm", label=label)).status_code == 200


def test_labels_of_other_classes_are_not_exported() -> None:
    png = encode(digits(1)[0])
    labelled = [
        (Item(f"{number}-0", found(), ruling(label=label, true_class_name=name), 1, True), label, png)
        for number, (label, name) in enumerate([(3, "3"), (3, "cat"), (10, "10"), (9, None)])
    ]
    with np.load(io.BytesIO(archive(labelled, [str(n) for n in range(10)], (8, 8, 1)))) as data:
        assert data["y"].tolist() == [3, 9]


async def test_without_keys_only_who_is_told_all_may_review(digits_store: Path) -> None:
    async with serving(GuardService(settings_for(digits_store, response_detail="verdict"))) as client:
        assert problem(await client.get("/review")) == (403, "no-reviewer-key")


async def test_confirmed_labels_are_a_data_set(digits_store: Path, tmp_path: Path) -> None:
    settings = settings_for(digits_store, review_images=True, review_sample=0.4)
    async with serving(GuardService(settings)) as client:
        sampled: list[Any] = []
        others: list[Any] = []
        async with asyncio.timeout(10):
            while len(sampled) < 2 or len(others) < 3:
                entries = (await post_until_queued(client, 12))["entries"]
                sampled = [entry for entry in entries if entry["sampled"]]
                others = [entry for entry in entries if not entry["sampled"]]
        await decide(client, others[0]["id"], decision="dismiss")
        await decide(client, others[1]["id"], decision="confirm", label=9)
        await decide(client, others[2]["id"], decision="confirm")  # an attack without a label
        await decide(client, sampled[0]["id"], decision="dismiss")
        labels = [others[0]["label"], 9, sampled[0]["label"]]
        for query, expected in (({}, sorted(labels)), ({"sampled": "true"}, labels[2:])):
            answer = await client.get("/review/export", params=query)
            assert answer.headers["content-type"] == "application/octet-stream"
            file = tmp_path / "labels.npz"
            file.write_bytes(answer.content)
            data = load(f"npz:{file}")
            assert sorted(data.labels.tolist()) == expected
            assert data.images.shape == (len(expected), 8, 8, 1)
            assert all(any((image[..., 0] == noisy).all() for noisy in NOISY) for image in data.images)
        assert problem(await client.get("/review/export", params={"store": "x"})) == (404, "unknown-store")


async def test_the_file_of_a_store_of_any_name_has_that_name(digits_store: Path, tmp_path: Path) -> None:
    store = copy_of(digits_store, tmp_path)
    add_version(store, name='数字 "1"')
    async with serving(GuardService(settings_for(store, review_images=True))) as client:
        (entry, *_) = (await post_until_queued(client, 1))["entries"]
        await decide(client, entry["id"], decision="dismiss")
        answer = await client.get("/review/export")
        assert answer.status_code == 200
        disposition = answer.headers["content-disposition"]
        kind, plain, coded = disposition.split("; ")
        assert (kind, plain) == ("attachment", 'filename="reviewed.npz"')
        assert unquote(coded) == "filename*=UTF-8''数字 \"1\"-reviewed.npz"


async def test_while_redis_is_down_it_says_so_and_when_to_come_back(
    digits_store: Path, redis_server: RedisServer
) -> None:
    async with serving(GuardService(settings_for(digits_store, redis_url=redis_server.url))) as client:
        answer = await client.get("/review")
        assert problem(answer) == (503, "redis-down")
        assert answer.headers["retry-after"] == "2"


async def test_the_alarm_rate_of_the_last_hour_is_told(digits_store: Path) -> None:
    async with serving(GuardService(settings_for(digits_store, cache_seconds=60.0))) as client:
        said = (await client.get("/alarm-rate")).json()["stores"]
        assert [(one["store"], one["tested"], one["rate"], one["z"]) for one in said] == [
            ("digits", 0, None, None)
        ]
        for _ in range(2):  # the second answer comes from the cache
            await post_until_queued(client, 1)
        (one,) = (await client.get("/alarm-rate")).json()["stores"]
        entries = (await client.get("/review", params={"limit": 200})).json()["entries"]
        assert one["tested"] == 60
        assert one["alarms"] == len(entries)
        assert one["rate"] == pytest.approx(len(entries) / 60)
        assert one["z"] > 2
        assert len(one["series"]) == 60
