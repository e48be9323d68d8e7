"""Images whose scores are NaN or infinite: an alarm on every way to ask, with a reason and a count."""

import asyncio
import json
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mutant_guard.guard import Guard
from mutant_guard.store.reader import Store
from mutant_guard.wire.verdict import UndecidedBecause, Verdict
from service.cli.app import app
from service.guard_service import GuardService
from tests.support.service import KEY, NotFiniteSession, digits, encode, serving, settings_for

pytestmark = pytest.mark.anyio

BLACK, WHITE = (np.full((8, 8), value, np.uint8) for value in (0, 255))
CONSTANT = pytest.mark.parametrize("image", [BLACK, WHITE], ids=["black", "white"])
POLICIES = ["calibrated", "fixed", "paper"]


def counted(guard: GuardService, scores_of: str) -> float | None:
    labels = {"store": "digits", "scores_of": scores_of}
    return guard.metrics.registry.get_sample_value("guard_not_finite_total", labels)


@CONSTANT
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("alarm_on_undecided", [False, True])
async def test_it_is_an_alarm_with_a_reason_of_its_own(
    standardising_store: Path, policy: str, alarm_on_undecided: bool, image: np.ndarray
) -> None:
    settings = settings_for(
        standardising_store, policy=policy, alarm_on_undecided=alarm_on_undecided, cache_seconds=60.0
    )
    guard = GuardService(settings)
    async with serving(guard) as client:
        answers = [await client.post("/classify?explain=true", content=encode(image)) for _ in range(2)]
    for answer, cached in zip(answers, (False, True), strict=True):
        assert answer.status_code == 200
        found = answer.json()
        assert (found["verdict"], found["undecided_because"]) == ("undecided", "not_finite")
        assert found["adversarial"] is True
        assert (found["confidence"], found["mutants"], found["decided_by"]) == (0.0, 0, None)
        assert (found["suggested_label"], found["cached"]) == (None, cached)
        assert found["explanation"]["evidence"] == []
    value = guard.metrics.registry.get_sample_value
    assert (counted(guard, "original"), counted(guard, "mutant")) == (1, 0)
    labels = {"store": "digits", "class_name": "0", "alarm": "true"}
    assert value("guard_labels_total", labels) == 1
    verdict = {"store": "digits", "verdict": "undecided"}
    assert value("guard_verdicts_total", verdict | {"cached": "true"}) == 1


async def test_other_images_of_that_classifier_are_answered_as_ever(standardising_store: Path) -> None:
    guard = GuardService(settings_for(standardising_store))
    async with serving(guard) as client:
        files = [encode(image) for image in (*digits(30), BLACK)]
        found = [
            answer.json()
            for answer in await asyncio.gather(*(client.post("/classify", content=f) for f in files))
        ]
    assert "normal" in {one["verdict"] for one in found[:-1]}
    assert {one["undecided_because"] for one in found[:-1]} == {None}
    assert found[-1]["undecided_because"] == "not_finite"


async def test_it_is_put_into_the_review_queue_as_an_alarm(standardising_store: Path) -> None:
    guard = GuardService(settings_for(standardising_store))
    async with serving(guard) as client:
        await client.post("/classify", content=encode(BLACK))
        while guard.metrics.registry.get_sample_value("guard_review_queued_total", {"reason": "alarm"}) == 0:
            await asyncio.sleep(0)
        (entry,) = (await client.get("/review")).json()["entries"]
        rate = (await client.get("/alarm-rate")).json()
    assert (entry["verdict"], entry["undecided_because"], entry["adversarial"]) == (
        "undecided",
        "not_finite",
        True,
    )
    assert entry["confidence"] == 0
    assert rate["stores"][0]["alarms"] == 1


@CONSTANT
async def test_there_is_no_bare_label(standardising_store: Path, image: np.ndarray) -> None:
    guard = GuardService(settings_for(standardising_store, allow_guard_off=True))
    async with serving(guard) as client:
        refused = await client.post("/classify?guard=off", content=encode(image))
        bare = await client.post("/classify?guard=off", content=encode(digits(1)[0]))
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:mutant-guard:problem:not-finite"
    assert "not finite" in refused.json()["detail"]
    assert bare.status_code == 200
    assert counted(guard, "original") == 1
    rejected = guard.metrics.registry.get_sample_value
    assert rejected("guard_requests_rejected_total", {"reason": "not-finite"}) == 1


@pytest.mark.parametrize("binary", [False, True])
async def test_over_the_inference_protocol_it_is_an_alarm_as_well(
    standardising_store: Path, binary: bool
) -> None:
    pixels = np.stack([digits(1)[0], BLACK, WHITE])[..., None]
    asked = {
        "inputs": [
            {
                "name": "pixels",
                "shape": list(pixels.shape),
                "datatype": "UINT8",
                "data": pixels.ravel().tolist(),
            }
        ],
        "parameters": {"binary_data_output": binary},
    }
    guard = GuardService(settings_for(standardising_store))
    async with serving(guard) as client:
        answer = await client.post("/v2/models/digits/infer", json=asked)
    assert answer.status_code == 200
    length = int(answer.headers.get("Inference-Header-Content-Length", len(answer.content)))
    outputs = {output["name"]: output for output in json.loads(answer.content[:length])["outputs"]}
    assert counted(guard, "original") == 2
    if binary:
        return
    assert outputs["adversarial"]["data"][1:] == [True, True]
    assert outputs["verdict"]["data"][1:] == ["undecided", "undecided"]
    assert outputs["undecided_because"]["data"] == ["", "not_finite", "not_finite"]
    assert outputs["confidence"]["data"][1:] == [0.0, 0.0]
    scores = outputs["scores"]["data"]
    assert None not in scores[:10]
    assert scores[10:] == [None] * 20
    assert np.isnan(np.array(scores[10:], dtype=np.float32)).all()  # as clients read it


@pytest.mark.parametrize("value", [nan, inf, -inf], ids=str)
@pytest.mark.parametrize("kind", ["label changes", "doubts"])
@pytest.mark.parametrize("policy", ["calibrated", "fixed"])
async def test_a_mutant_that_is_not_finite_clears_no_image(
    digits_store: Path,
    retrained_store: Path,
    kind: str,
    policy: str,
    value: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = digits_store if kind == "label changes" else retrained_store
    settings = settings_for(store, policy=policy)
    model = GuardService(settings).models.default
    image = digits(1)[0]
    first = int(model.order.mutants(image[..., None])[0])
    session = NotFiniteSession(store, value, mutant=first)
    monkeypatch.setattr("mutant_guard.runtime.model.load_engine", lambda store, **_: session)
    guard = GuardService(settings)
    async with serving(guard) as client:
        found = (await client.post("/classify", content=encode(image))).json()
    assert (found["undecided_because"], found["adversarial"], found["mutants"]) == ("not_finite", True, 0)
    assert found["confidence"] > 0.5
    assert (counted(guard, "original"), counted(guard, "mutant")) == (0, 1)


@CONSTANT
async def test_the_library_says_so(standardising_store: Path, image: np.ndarray) -> None:
    with Guard(standardising_store, device="cpu", threads=1, order_key=KEY) as guard:
        for answer in (
            guard.classify(image[..., None]),
            await guard.aclassify(image[..., None]),
            next(guard.classify_many([image[..., None]])),
        ):
            assert (answer.verdict, answer.undecided_because) == (
                Verdict.UNDECIDED,
                UndecidedBecause.NOT_FINITE,
            )
            assert answer.adversarial
            assert answer.confidence == 0


def test_the_command_says_so(standardising_store: Path, tmp_path: Path) -> None:
    file = tmp_path / "black.png"
    file.write_bytes(encode(BLACK))
    arguments = ["classify", str(file), "--store", str(standardising_store)]
    line = CliRunner().invoke(app, [*arguments, "--json"]).stdout
    found = json.loads(line)
    assert (found["verdict"], found["undecided_because"], found["adversarial"]) == (
        "undecided",
        "not_finite",
        True,
    )
    assert "not finite" in CliRunner().invoke(app, arguments, env={"COLUMNS": "200"}).stdout


def test_counts_of_both_kinds_begin_at_zero(digits_store: Path, store: Store) -> None:
    guard = GuardService(settings_for(digits_store))
    assert (counted(guard, "original"), counted(guard, "mutant")) == (0, 0)
