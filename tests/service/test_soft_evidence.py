"""Doubts in the server: answers follow the rule, whatever else is in flight, and name causes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard.decision.evidence.kinds import UNIT
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.store.doubts_record import StagedRecord
from mutant_guard.store.reader import Store, load_store
from service.guard_service import GuardService
from tests.mutant_guard.runtime.scheduling.driving import WAIT, Inputs, scheduling, submit
from tests.support.service import digits, encode, order_of, running, serving, settings_for

pytestmark = pytest.mark.anyio

STORES = ["retrained_store", "mixed_store"]


@pytest.fixture(params=STORES, scope="module")
def path(request: pytest.FixtureRequest) -> Path:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Path)
    return found


@pytest.fixture(scope="module")
def soft(path: Path) -> Store:
    return load_store(path)


def pictures() -> NDArray[np.uint8]:
    return np.concatenate([digits(60), digits(60, noise=0.3), digits(60, noise=0.6)])[..., None]


@pytest.fixture(scope="module")
def met(path: Path, soft: Store) -> Inputs:
    images = pictures()
    tensors = soft.manifest.input.tensor(images)
    order = order_of(path)
    everyone = np.arange(soft.manifest.mutants + 1)
    return Inputs(
        tensors,
        [order.mutants(image) for image in images],
        soft.session(threads=1).labels(tensors, everyone),
    )


def doubted(store: Store, tensors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return doubts [images, 1 + mutants] of the original's labels, computed from their definition.

    The original's own doubt comes first and is weighted.
    """
    record = store.calibration.doubts
    assert record is not None
    session, count = store.session(threads=1), len(tensors)
    features = session.features(tensors)
    columns: list[NDArray[np.float64]] = []
    labels: NDArray[np.int64] | None = None
    for mutant in range(store.manifest.mutants + 1):
        scores = session.scores(features, np.arange(count), np.full(count, mutant)).astype(np.float64)
        labels = scores.argmax(axis=1) if labels is None else labels
        scaled = scores / (record.temperature if mutant else record.own_temperature)
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        columns.append(1 - powers[np.arange(count), labels] / powers.sum(axis=1))
    columns[0] *= record.own_weight
    return np.stack(columns, axis=1)


def naive(test: StagedRecord, own: float, said: list[float]) -> tuple[Decision, int]:
    """Apply the rule one mutant at a time, in units of one mutant's full doubt."""
    threshold, total = test.threshold / UNIT, own
    if own >= threshold:
        return Decision.ADVERSARIAL, 0
    for n, doubt in enumerate(said, 1):
        total += doubt
        if total >= threshold:
            return Decision.ADVERSARIAL, n
        cleared = any(after <= n and total <= bound / UNIT for after, bound in test.stages)
        if cleared or total + len(said) - n < threshold:
            return Decision.NORMAL, n
    raise AssertionError("the test never ends undecided")


def check(outcome: Outcome, store: Store, met: Inputs, doubts: NDArray[np.float64], number: int) -> None:
    test = store.calibration.policies["calibrated"].test
    assert isinstance(test, StagedRecord)
    order = met.orders[number]
    decision, used = naive(test, float(doubts[number, 0]), doubts[number, order].tolist())
    assert (outcome.decision, outcome.mutants) == (decision, used)
    assert outcome.labels.tolist() == met.labels[number, order[:used]].tolist()
    np.testing.assert_allclose(outcome.evidence / UNIT, doubts[number, order[:used]], atol=1e-5)
    assert outcome.own_evidence / UNIT == pytest.approx(doubts[number, 0], abs=1e-5)
    assert outcome.label_changes == (outcome.labels != outcome.label).sum()


def test_an_outcome_is_that_of_the_rule_alone_and_under_load(soft: Store, met: Inputs) -> None:
    doubts, policy = doubted(soft, met.tensors), soft.policy("calibrated")
    with scheduling(soft.session(threads=1), policy, batch_rows=1) as scheduler:
        alone = [submit(scheduler, met, number).result(WAIT) for number in range(len(met))]
        together = [submit(scheduler, met, number) for number in range(len(met))]
        for number, first in enumerate(alone):
            for outcome in (first, together[number].result(WAIT)):
                check(outcome, soft, met, doubts, number)
    decisions = {outcome.decision for outcome in alone}
    assert decisions == {Decision.NORMAL, Decision.ADVERSARIAL}


def test_no_more_than_the_next_stage_is_computed_where_weights_are_not_shared(
    retrained_store: Path,
) -> None:
    store, rows = load_store(retrained_store), []
    tensors = store.manifest.input.tensor(digits(1)[..., None])
    order = order_of(retrained_store).mutants(digits(1)[0][..., None])
    with scheduling(
        store.session(threads=1),
        store.policy("calibrated"),
        batch_rows=1,
        on_run=lambda run: rows.append(run.rows),
    ) as scheduler:
        outcome = scheduler.submit(tensors, order).result(WAIT)
    assert outcome.mutants == 1
    assert rows == [1]


async def answers(guard: GuardService, query: str = "") -> list[dict[str, Any]]:
    async with serving(guard) as client:
        return [
            (await client.post(f"/classify{query}", content=encode(image[..., 0]))).json()
            for image in pictures()
        ]


async def test_answers_name_what_decided_and_suggest_what_the_mutants_agree_on(
    path: Path, soft: Store
) -> None:
    found = await answers(GuardService(settings_for(path)), "?explain=true")
    operators = set(soft.manifest.operator.removeprefix("mixed:").split(","))
    deciders = set()
    for answer in found:
        told, unit = answer["explanation"], answer["mutants"]
        assert len(told["evidence"]) == len(told["operators"]) == unit
        assert set(told["operators"]) <= operators
        if unit:
            assert answer["decided_by"] == told["operators"][-1]
            assert answer["doubt"] == pytest.approx(np.mean(told["evidence"]), abs=1e-4)
        else:
            assert (answer["decided_by"], answer["verdict"], answer["doubt"]) == (
                "confidence",
                "adversarial",
                None,
            )
        total = told["own_evidence"] + np.cumsum(told["evidence"])
        if unit:
            assert (total[-1] >= told["adversarial_at_least"][-1] - 1e-5) == (
                answer["verdict"] == "adversarial"
            )
            assert (told["log_ratio"], told["normal_bound"]) == (None, None)
        if answer["adversarial"] and unit:
            assert 0 < answer["suggested_share"] <= 1
            assert answer["suggested_class_name"] == str(answer["suggested_label"])
        else:
            assert (answer["suggested_label"], answer["suggested_share"]) == (None, None)
        deciders.add(answer["decided_by"])
    assert operators <= deciders
    assert {answer["verdict"] for answer in found} == {"normal", "adversarial"}


async def test_the_suggested_label_is_what_most_consumed_mutants_chose(retrained_store: Path) -> None:
    """``fixed`` uses all mutants on every image it does not alarm on earlier."""
    async with running(settings_for(retrained_store, policy="fixed")) as guard:
        for image in pictures():
            judgement = (await guard.judge(encode(image[..., 0]))).judgement
            if not judgement.labels:
                assert judgement.suggestion is None
                continue
            suggestion = judgement.suggestion
            assert suggestion is not None
            votes = {label: judgement.labels.count(label) for label in judgement.labels}
            assert votes[suggestion[0]] == max(votes.values())
            assert suggestion[1] == max(votes.values()) / judgement.mutants


async def test_the_original_alone_raises_an_alarm_and_no_mutant_runs(
    retrained_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Store.policy

    def wary(store: Store, name: str) -> Any:
        record = store.calibration.policies[name].test
        assert isinstance(record, StagedRecord)
        return record.model_copy(update={"threshold": 1, "stages": []}).policy(name, store.manifest.mutants)

    monkeypatch.setattr(Store, "policy", wary)
    found = await answers(GuardService(settings_for(retrained_store)))
    monkeypatch.setattr(Store, "policy", policy)
    by_itself = [answer for answer in found if answer["mutants"] == 0]
    assert by_itself
    for answer in by_itself:
        assert (answer["decided_by"], answer["adversarial"]) == ("confidence", True)
        assert (answer["suggested_label"], answer["label_change_rate"]) == (None, 0.0)


async def test_under_a_limit_on_mutants_it_may_be_undecided_and_nothing_is_named(
    retrained_store: Path,
) -> None:
    found = await answers(GuardService(settings_for(retrained_store, max_mutants=1)))
    undecided = [answer for answer in found if answer["verdict"] == "undecided"]
    assert undecided
    for answer in undecided:
        assert (answer["undecided_because"], answer["decided_by"], answer["mutants"]) == (
            "max_mutants",
            None,
            1,
        )


async def test_a_cached_answer_says_the_same(retrained_store: Path) -> None:
    file = encode(digits(1, noise=0.6)[0])
    async with serving(GuardService(settings_for(retrained_store, cache_seconds=60.0))) as client:
        first, again = [(await client.post("/classify?explain=true", content=file)).json() for _ in range(2)]
    assert (first["cached"], again["cached"]) == (False, True)
    for name in ("decided_by", "doubt", "suggested_label", "suggested_share", "mutants", "explanation"):
        assert first[name] == again[name]
