"""Undecided answers: their reason, their content, and whether they count as alarms."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.sprt import Sprt
from mutant_guard.runtime.answer import Answer, Timings
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.store.reader import Store
from mutant_guard.wire.verdict import UndecidedBecause, Verdict
from service.classification import classification
from service.guard_service import GuardService
from tests.support.service import FIELDS, HeldSession, digits, encode, serving, settings_for

pytestmark = pytest.mark.anyio

IMAGE = encode(digits(1)[0])


@pytest.mark.parametrize(
    ("policy", "limit", "reasons"),
    [
        ("calibrated", None, {None}),
        ("fixed", None, {None}),
        ("paper", None, {None, "pool_exhausted"}),
        ("calibrated", 10, {None, "max_mutants"}),
        ("fixed", 10, {"max_mutants"}),
        ("paper", 10, {"max_mutants"}),
        ("paper", 60, {None, "pool_exhausted"}),
    ],
)
async def test_an_undecided_answer_says_why(
    digits_store: Path, store: Store, policy: str, limit: int | None, reasons: set[str | None]
) -> None:
    files = [encode(image) for image in (*digits(30), *digits(30, noise=0.5))]
    async with serving(GuardService(settings_for(digits_store, policy=policy, max_mutants=limit))) as client:
        found = [(await client.post("/classify", content=file)).json() for file in files]
    assert {one["undecided_because"] for one in found} == reasons
    for one in found:
        assert list(one) == FIELDS
        assert (one["undecided_because"] is None) is (one["verdict"] != "undecided")
        if one["undecided_because"] is not None:
            assert one["mutants"] == (limit or 60)


@pytest.mark.parametrize(("limit", "kept"), [(5, False), (40, True), (None, True)])
async def test_the_error_bounds_are_those_under_the_limit_on_mutants(
    digits_store: Path, limit: int | None, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bounds are null where many an image may be undecided by then, and kept where few are."""
    quick = builders.sequential("calibrated", Sprt(0.5, 0.05, alpha=0.1, beta=0.08), 60)
    monkeypatch.setattr(Store, "policy", lambda *_: quick)
    async with serving(GuardService(settings_for(digits_store, max_mutants=limit))) as client:
        found = (await client.post("/classify", content=IMAGE)).json()
    assert found["error_bounds"] == ({"alpha": 0.1, "beta": 0.08} if kept else None)


async def test_past_the_deadline_the_answer_is_undecided_with_what_was_counted(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    settings = settings_for(
        digits_store,
        deadline_seconds=0.05,
        batch_rows=1,
        max_batch_rows=20,
        policy="paper",
        cache_seconds=60,
    )
    guard = GuardService(settings)
    async with serving(guard) as client:
        asked = asyncio.ensure_future(client.post("/classify?explain=true", content=IMAGE))
        await asyncio.to_thread(held_guard_session.entered.wait, 10)
        await asyncio.sleep(0.1)  # the deadline passes while the run is under way
        held_guard_session.release()
        answer = await asked
        guard.settings.deadline_seconds = 30
        again = (await client.post("/classify", content=IMAGE)).json()
    assert answer.status_code == 200
    found = answer.json()
    assert list(found) == [*FIELDS, "explanation"]
    assert (found["verdict"], found["undecided_because"]) == ("undecided", "deadline")
    assert found["mutants"] == 20
    assert found["label_change_rate"] == round(found["label_changes"] / found["mutants"], 6)
    assert len(found["explanation"]["label_changed"]) == found["mutants"]
    assert (
        guard.metrics.registry.get_sample_value("guard_requests_rejected_total", {"reason": "deadline"}) == 0
    )
    labels = {"store": "digits", "verdict": "undecided", "cached": "false"}
    assert guard.metrics.registry.get_sample_value("guard_verdicts_total", labels) == 2
    assert (again["cached"], again["undecided_because"], again["mutants"]) == (False, "pool_exhausted", 60)
    assert again["label"] == found["label"]


def test_without_a_mutant_the_rate_of_label_changes_is_zero(digits_store: Path) -> None:
    guard = GuardService(settings_for(digits_store))
    judgement = Judgement(
        label=3,
        class_name="3",
        confidence=0.5,
        raw_scores=bytes(40),
        verdict=Verdict.UNDECIDED,
        undecided_because=UndecidedBecause.DEADLINE,
        mutants=0,
        label_changes=0,
        labels=[],
        evidence=[],
        own_evidence=0,
        operators=[],
    )
    answer = Answer(
        guard.models.default,
        judgement,
        True,
        True,
        False,
        Timings(0.1),
        "",
        "",
        np.zeros((8, 8, 1), np.uint8),
    )
    found = classification(answer, request_id="a", elapsed=1)
    assert found.label_change_rate == 0.0
    assert (found.doubt, found.suggested_label, found.suggested_share) == (None, None, None)
    assert answer.explain().log_ratio == []


@pytest.mark.parametrize(("on_undecided", "alarms"), [(True, {True}), (False, {False})])
async def test_an_undecided_answer_is_an_alarm_where_the_settings_say_so(
    on_undecided: bool, alarms: set[bool], digits_store: Path
) -> None:
    settings = settings_for(digits_store, policy="paper", alarm_on_undecided=on_undecided)
    async with serving(GuardService(settings)) as client:
        found = [(await client.post("/classify", content=encode(image))).json() for image in digits(30)]
    assert {one["adversarial"] for one in found if one["verdict"] == "undecided"} == alarms
    assert {one["adversarial"] for one in found if one["verdict"] == "adversarial"} == {True}
