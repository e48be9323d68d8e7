"""The path of a test in an answer to ``?explain=true``."""

import json
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx import AsyncClient

from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt
from mutant_guard.runtime.explanation import explain
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.store.reader import Store
from mutant_guard.wire.verdict import Verdict
from service.guard_service import GuardService
from tests.support.service import FIELDS, digits, encode, serving, settings_for

pytestmark = pytest.mark.anyio

IMAGE = encode(digits(1)[0])


@pytest.mark.parametrize("policy", ["calibrated", "fixed", "paper"])
async def test_an_explanation_leads_to_the_verdict_and_not_past_it(digits_store: Path, policy: str) -> None:
    verdicts = set()
    async with serving(GuardService(settings_for(digits_store, policy=policy))) as client:
        for image in [*digits(12), *digits(12, noise=0.5)]:
            answer = await client.post("/classify", params={"explain": "true"}, content=encode(image))
            found = answer.json()
            assert list(found) == [*FIELDS, "explanation"]
            told = found["explanation"]
            changes = np.cumsum(told["label_changed"])
            assert len(changes) == found["mutants"] == len(told["operators"]) == len(told["evidence"])
            assert told["evidence"] == told["label_changed"]
            assert told["own_evidence"] == 0
            assert changes[-1] == found["label_changes"]
            is_normal = changes <= np.array(told["normal_at_most"])
            is_adversarial = changes >= np.array(told["adversarial_at_least"])
            assert not (is_normal | is_adversarial)[:-1].any()
            assert is_normal[-1] == (found["verdict"] == "normal")
            assert is_adversarial[-1] == (found["verdict"] == "adversarial")
            check_ratios(told, found["verdict"])
            verdicts.add(found["verdict"])
    assert len(verdicts) >= 2


def check_ratios(told: dict[str, Any], verdict: str) -> None:
    path, low, high = told["log_ratio"], told["adversarial_bound"], told["normal_bound"]
    if path is None:
        assert (low, high) == (None, None)
        return
    assert low < 0 < high
    assert len(path) == len(told["label_changed"])
    assert all(low < ratio < high for ratio in path[:-1])
    if path[-1] is not None:
        assert (path[-1] >= high - 1e-6) is (verdict == "normal")
        assert (path[-1] <= low + 1e-6) is (verdict == "adversarial")


async def test_only_a_policy_that_counts_has_no_log_ratios(digits_store: Path) -> None:
    async def explained(policy: str) -> Any:
        async with serving(GuardService(settings_for(digits_store, policy=policy))) as client:
            return (await client.post("/classify?explain=true", content=IMAGE)).json()["explanation"]

    counted = await explained("fixed")
    assert [name for name, value in counted.items() if value is None] == [
        "log_ratio",
        "adversarial_bound",
        "normal_bound",
    ]
    for policy in ("calibrated", "paper"):
        assert None not in (await explained(policy)).values()


async def test_an_infinite_ratio_is_null_and_never_infinity(
    digits_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One label change rules out the first hypothesis of a test that takes no change for normal."""
    strict = builders.without_replacement("calibrated", FinitePoolSprt.between(60, 0, 30, 0.001, 0.001), 0.05)
    monkeypatch.setattr(Store, "policy", lambda *_: strict)
    files = [encode(image) for image in digits(12, noise=0.5)]
    ends = set()
    async with serving(GuardService(settings_for(digits_store, cache_seconds=60))) as client:
        for file in [*files, *files]:  # the second answer comes from the cache
            answer = await client.post("/classify?explain=true", content=file)
            found = json.loads(answer.text, parse_constant=pytest.fail)
            path = found["explanation"]["log_ratio"]
            assert None not in path[:-1]
            assert (path[-1] is None) is (found["label_changes"] == 1)
            check_ratios(found["explanation"], found["verdict"])
            ends.add((path[-1] is None, found["verdict"], found["cached"]))
    assert {(True, "adversarial", False), (True, "adversarial", True)} < ends


@pytest.mark.parametrize("query", ["", "?explain=false"])
async def test_without_being_asked_nothing_is_explained(client: AsyncClient, query: str) -> None:
    await client.post("/classify?explain=true", content=IMAGE)
    assert list((await client.post(f"/classify{query}", content=IMAGE)).json()) == FIELDS


def judged(labels: list[int]) -> Judgement:
    """Return a judgement of label 3 whose mutants chose these labels."""
    changed = [int(label != 3) for label in labels]
    return Judgement(
        label=3,
        class_name="3",
        confidence=0.5,
        raw_scores=bytes(40),
        verdict=Verdict.NORMAL,
        undecided_because=None,
        mutants=len(labels),
        label_changes=sum(changed),
        labels=labels,
        evidence=changed,
        own_evidence=0,
        operators=["nai"] * len(labels),
    )


def test_where_a_hypothesis_is_ruled_out_there_is_no_ratio() -> None:
    policy = builders.without_replacement("calibrated", FinitePoolSprt.between(4, 0, 2, 0.001, 0.001), 0.05)
    changed = explain(policy, judged([3, 5]))
    # An unchanged label among four has likelihoods 4/4 and 2/4 under the two counts. One change is
    # impossible under the first.
    assert changed.log_ratio == [round(log(2), 6), None]
    assert (changed.normal_at_most, changed.adversarial_at_least) == ([-1, -1], [1, 1])
    same = explain(policy, judged([3] * 3))
    assert same.log_ratio == [round(log(2), 6), round(log(6), 6), None]
    assert same.normal_at_most == [-1, -1, 0]
