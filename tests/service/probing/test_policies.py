"""What a server does with many near-identical images, through its routes."""

import base64
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx import AsyncClient, Response
from numpy.typing import NDArray
from structlog.testing import capture_logs

from service.guard_service import GuardService
from service.probing.sequence import Thresholds
from service.review.queue import Wanted
from service.settings import Settings
from tests.support.api_keys import add_key
from tests.support.service import FIELDS, HeldSession, digits, encode, serving, settings_for

pytestmark = pytest.mark.anyio

CLEAN = digits(60)
SOURCE = digits(80, noise=0.6)[49]
"""Image between classes: labels of its variants differ, and some raise an alarm."""
MOST = Thresholds().unsettled + 1
INFER = "/v2/models/digits/infer"
SCORES = {"confidence", "label_changes", "label_change_rate", "doubt", "error_bounds", "cached", "elapsed_ms"}


def variants(count: int, image: NDArray[np.uint8] = SOURCE, seed: int = 1) -> list[bytes]:
    """Return an image and others that hardly differ from it, as a query attack asks for them."""
    noise = np.random.default_rng(seed).integers(-6, 7, (count, *image.shape))
    noise[0] = 0
    return [encode(np.clip(image + each, 0, 255).astype(np.uint8)) for each in noise]


async def ask(client: AsyncClient, files: Iterable[bytes], **options: Any) -> list[Response]:
    return [await client.post("/classify", files={"image": file}, **options) for file in files]


def settings(store: Path, policy: str, **changes: object) -> Settings:
    return settings_for(store, query_memory=policy, query_entries=1024, **changes)


@asynccontextmanager
async def asked(
    store: Path, policy: str, **changes: object
) -> AsyncIterator[tuple[AsyncClient, GuardService]]:
    guard = GuardService(settings(store, policy, **changes))
    async with serving(guard) as client:
        yield client, guard


def counted(guard: GuardService, name: str, **labels: str) -> float:
    return guard.metrics.registry.get_sample_value(name, {"store": "digits", **labels}) or 0.0


def first_seen(answers: list[Response]) -> int:
    """Return the number of the first answer that says that it is part of a campaign."""
    return next(number for number, answer in enumerate(answers) if answer.json()["probing"])


async def test_off_changes_nothing(digits_store: Path) -> None:
    guard = GuardService(settings_for(digits_store))
    with capture_logs() as lines:
        async with serving(guard) as client:
            answers = await ask(client, variants(40))
            assert [list(answer.json()) for answer in answers] == [FIELDS] * 40
            files = [base64.b64encode(file).decode() for file in variants(1)]
            asking = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": files}]}
            assert set((await client.post(INFER, json=asking)).json()) == {
                "model_name",
                "model_version",
                "outputs",
            }
            exposed = (await client.get("/metrics")).text
    assert guard.state.queries is None
    assert "guard_queries" not in exposed
    assert "guard_campaigns" not in exposed
    assert not [line for line in lines if "probing" in line or line["event"] == "campaign"]


async def test_observe_tells_callers_counts_and_leaves_the_verdicts_as_they_are(digits_store: Path) -> None:
    files = variants(40)
    async with serving(GuardService(settings_for(digits_store))) as client:
        plain = [answer.json() for answer in await ask(client, files)]
    async with asked(digits_store, "observe") as (client, guard):
        answers = await ask(client, files)
        found = [answer.json() for answer in answers]
        rest = ("request_id", "elapsed_ms", "probing", "related_queries")
        for one, other in zip(found, plain, strict=True):
            assert {k: v for k, v in one.items() if k not in rest} == {
                k: v for k, v in other.items() if k not in rest
            }
        assert [each["related_queries"] for each in found] == list(range(40))
        begins = first_seen(answers)
        assert 2 <= begins <= MOST
        assert all(each["probing"] for each in found[begins:])
        assert counted(guard, "guard_campaigns_total") == 1
        assert counted(guard, "guard_query_entries") == 40
        by_kind = [
            counted(guard, "guard_queries_total", related=kind) for kind in ("none", "some", "probing")
        ]
        assert by_kind[0] == 1
        assert sum(by_kind) == 40
        assert by_kind[2] in (40 - begins, 39 - begins)


async def test_different_images_repeats_and_health_checks_are_no_campaign(digits_store: Path) -> None:
    async with asked(digits_store, "refuse") as (client, guard):
        for answer in await ask(client, [encode(image) for image in CLEAN]):
            assert answer.status_code == 200
        for answer in await ask(client, [encode(SOURCE)] * 60):
            assert answer.status_code == 200
        assert counted(guard, "guard_campaigns_total") == 0
        assert counted(guard, "guard_query_entries") == len(CLEAN) + 1


async def test_many_accounts_and_addresses_are_one_campaign(digits_store: Path, tmp_path: Path) -> None:
    keys = [add_key(tmp_path / "keys.json", f"user{number}") for number in range(30)]
    files = variants(30)
    with capture_logs() as lines:
        async with asked(digits_store, "observe", api_keys_file=tmp_path / "keys.json") as (client, _):
            answers = []
            for key, file in zip(keys, files, strict=True):
                answers += await ask(client, [file], headers={"X-API-Key": key, "X-Request-Id": key[-6:]})
            assert first_seen(answers) <= MOST
    told = [line for line in lines if line["event"] == "campaign"]
    assert len(told) == 3
    assert told[0]["log_level"] == "warning"
    assert told[0]["first_request_id"] == keys[0][-6:]
    assert told[0]["queries"] <= MOST + 1
    assert told[0]["first"] <= told[0]["last"]
    assert told[0]["key"] in told[0]["callers"]
    assert set(told[0]["callers"]) == {f"user{number}" for number in range(1, told[0]["queries"])}
    assert told[1]["queries"] - 1 == 2 * (told[0]["queries"] - 1)


async def test_no_scores_withholds_them_from_a_campaign_alone(digits_store: Path) -> None:
    files = variants(30)
    async with asked(digits_store, "no-scores") as (client, guard):
        answers = [answer.json() for answer in await ask(client, files, params={"explain": "true"})]
        begins = next(number for number, answer in enumerate(answers) if "confidence" not in answer)
        assert begins <= MOST
        assert all(set(answer) >= SCORES | {"explanation"} for answer in answers[:begins])
        for answer in answers[begins:]:
            assert not set(answer) & (SCORES | {"explanation"})
            assert {"label", "verdict", "mutants"} <= set(answer)
        assert not any({"probing", "related_queries"} & set(answer) for answer in answers)
        other = (await ask(client, [encode(CLEAN[0])]))[0].json()
        assert set(other) >= SCORES
        assert counted(guard, "guard_campaigns_total") == 1


async def test_refuse_answers_429_before_any_mutant_runs(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    held_guard_session.release()
    async with asked(digits_store, "refuse", query_seconds=600) as (client, guard):
        answers = await ask(client, variants(30))
        begins = next(number for number, answer in enumerate(answers) if answer.status_code != 200)
        assert begins <= MOST
        runs = held_guard_session.runs
        held_guard_session.hold()
        for answer in (*answers[begins:], *await ask(client, variants(5, seed=9))):
            assert answer.status_code == 429
            assert answer.json()["type"] == "urn:mutant-guard:problem:probing"
            assert answer.headers["Retry-After"] == "600"
        assert held_guard_session.runs == runs
        held_guard_session.release()
        assert (await ask(client, [encode(CLEAN[0])]))[0].status_code == 200
        refused = guard.metrics.registry.get_sample_value(
            "guard_requests_rejected_total", {"reason": "probing"}
        )
        assert refused == 35 - begins


async def test_flat_repeats_the_first_answer_without_a_mutant(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    held_guard_session.release()
    async with asked(digits_store, "flat") as (client, _):
        answers = [answer.json() for answer in await ask(client, variants(20))]
        held_guard_session.hold()
        answers += [answer.json() for answer in await ask(client, variants(30, seed=5)[1:])]
        held_guard_session.release()
    begins = next(number for number, answer in enumerate(answers) if "confidence" not in answer)
    assert begins <= MOST
    said = ("label", "class_name", "adversarial")
    assert len({tuple(answer[name] for name in said) for answer in answers[:begins]}) > 1
    for answer in answers[begins:]:
        assert [answer[name] for name in said] == [answers[0][name] for name in said]
        assert answer["verdict"] == ("adversarial" if answers[0]["adversarial"] else "normal")
        assert not set(answer) & (SCORES | {"probing", "related_queries"})


@pytest.mark.parametrize("policy", ["no-scores", "refuse", "flat"])
async def test_guard_off_is_no_way_round(digits_store: Path, policy: str) -> None:
    off = {"guard": "off"}
    async with asked(digits_store, policy, allow_guard_off=True) as (client, guard):
        first = (await ask(client, variants(1), params=off))[0].json()
        assert "verdict" not in first
        answers = await ask(client, variants(60), params=off)
        assert counted(guard, "guard_campaigns_total") == 1
        last = answers[-1]
        if policy == "refuse":
            assert last.status_code == 429
        else:
            assert "confidence" not in last.json()
            assert "verdict" not in last.json()
        if policy == "flat":
            assert last.json()["label"] == first["label"]
        guarded = (await ask(client, variants(3, seed=4)[1:]))[0]
        assert guarded.status_code == (429 if policy == "refuse" else 200)


async def test_the_inference_protocol_is_no_way_round(digits_store: Path) -> None:
    def asking(files: list[bytes], *outputs: str) -> dict[str, Any]:
        data = [base64.b64encode(file).decode() for file in files]
        inputs = [{"name": "image", "shape": [len(files)], "datatype": "BYTES", "data": data}]
        return {"inputs": inputs} | ({"outputs": [{"name": name} for name in outputs]} if outputs else {})

    files, in_order = variants(40), {"inline_ms": 5.0}  # threads would decode them in any order
    async with asked(digits_store, "observe", **in_order) as (client, _):
        answer = (await client.post(INFER, json=asking(files))).json()
        assert answer["parameters"] == {"probing": True, "related_queries": 39}
    async with asked(digits_store, "no-scores", **in_order) as (client, _):
        answer = (await client.post(INFER, json=asking([*files, encode(CLEAN[0])]))).json()
        names = {output["name"] for output in answer["outputs"]}
        assert {"label", "verdict"} <= names
        assert not {"confidence", "doubt", "logits"} & names
        assert "parameters" not in answer
        refused = await client.post(INFER, json=asking(variants(2, seed=3), "confidence"))
        assert refused.status_code == 403
        assert "hardly differ" in refused.json()["error"]
    async with asked(digits_store, "refuse", **in_order) as (client, _):
        assert (await client.post(INFER, json=asking(files))).status_code == 429
        assert (await ask(client, variants(2, seed=3)))[1].status_code == 429


@pytest.mark.parametrize("policy", ["observe", "refuse", "flat"])
async def test_one_image_of_a_campaign_waits_for_review(digits_store: Path, policy: str) -> None:
    async with asked(digits_store, policy) as (client, guard):
        answers = await ask(client, variants(60))
        assert guard.state.reviews is not None
        await guard.state.reviews.close(5)
        items = await guard.state.reviews.queue.newest(Wanted(limit=100))
        assert len([item for item in items if item.found.probing]) == 1
        assert len(items) <= MOST + 1
        assert (
            guard.metrics.registry.get_sample_value("guard_review_queued_total", {"reason": "probing"}) == 1
        )
        assert len(answers) == 60


async def test_callers_who_see_the_verdict_alone_are_not_told(digits_store: Path) -> None:
    async with asked(digits_store, "observe", response_detail="verdict") as (client, _):
        answers = [answer.json() for answer in await ask(client, variants(20))]
        assert not any({"probing", "related_queries"} & set(answer) for answer in answers)
