"""Answers to a caller whose response detail is ``verdict``."""

from pathlib import Path

import pytest

from mutant_guard.wire.verdict import BareClassification, Classification, Explanation
from service.http.detail import KEPT, withheld
from service.http.routes.classify import EXAMPLES
from tests.support.api_keys import add_key
from tests.support.callers import calling
from tests.support.service import FIELDS

pytestmark = pytest.mark.anyio

WITHHELD = {
    "confidence",
    "doubt",
    "label_changes",
    "label_change_rate",
    "suggested_share",
    "error_bounds",
    "explanation",
    "probing",
    "related_queries",
    "cached",
    "elapsed_ms",
}
EXPLANATION = Explanation(
    own_evidence=0,
    evidence=[0.5],
    operators=["retrain"],
    log_ratio=None,
    label_changed=[False],
    adversarial_bound=None,
    normal_bound=None,
    normal_at_most=[0.1],
    adversarial_at_least=[1.0],
)
FULL = (
    Classification.model_validate(EXAMPLES["decided"]["value"])
    .model_copy(
        update={"explanation": EXPLANATION, "suggested_label": 3, "suggested_class_name": "3", "doubt": 0.25}
    )
    .model_copy(update={"probing": True, "related_queries": 9})
)


def test_every_field_is_either_kept_or_withheld() -> None:
    assert {*Classification.model_fields, *BareClassification.model_fields} == KEPT | WITHHELD
    assert not KEPT & WITHHELD
    assert set(FULL.model_dump(exclude_unset=True)) == set(Classification.model_fields)


def test_scores_and_path_are_left_out_and_the_rest_is_as_it_was() -> None:
    values = FULL.model_dump(mode="json", exclude_unset=True)
    told = withheld(values)
    assert told == FULL.model_dump(mode="json", include=set(KEPT), exclude_unset=True)
    assert list(told) == [name for name in FIELDS if name not in WITHHELD]
    assert told["mutants"] == 12
    assert told["suggested_label"] == 3
    assert values["confidence"] == 0.998


def test_a_bare_label_has_no_score_either() -> None:
    bare = BareClassification(
        request_id="a",
        store=FULL.store,
        label=7,
        class_name="7",
        confidence=0.9,
        guard="off",
        elapsed_ms=0.5,
    )
    told = withheld(bare.model_dump())
    assert told == bare.model_dump(exclude={"confidence", "elapsed_ms"})
    assert BareClassification.model_validate(told).guard == "off"


def test_clients_may_rely_only_on_what_is_always_there() -> None:
    required = Classification.model_json_schema(mode="serialization")["required"]
    assert set(required) == KEPT - {"guard"}
    Classification.model_validate(withheld(FULL.model_dump()))


@pytest.mark.parametrize(("detail", "status"), [("full", 200), ("verdict", 403)])
async def test_the_path_is_not_for_everybody(detail: str, status: int, tmp_path: Path) -> None:
    secret = add_key(tmp_path / "keys.json", response_detail=detail)
    async with (
        calling(tmp_path / "keys.json") as client,
        calling(response_detail=detail) as open_client,
    ):
        for answer in (
            await client.get("/who?explain=true", headers={"X-API-Key": secret}),
            await open_client.get("/who?explain=true"),
        ):
            assert answer.status_code == status
            if status == 403:
                assert answer.json()["type"] == "urn:mutant-guard:problem:detail-withheld"
                assert "ask without explain=true" in answer.json()["detail"]
        assert (await client.get("/who?explain=false", headers={"X-API-Key": secret})).status_code == 200
