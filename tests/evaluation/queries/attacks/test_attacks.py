"""Each attack fools an undefended classifier within a budget, and goes the same way again."""

from dataclasses import asdict
from typing import Any

import pytest
from pydantic import TypeAdapter

from evaluation.queries.campaign import campaign
from evaluation.queries.oracle import Limit, Record, Rules
from evaluation.queries.services.response import REFUSAL, Response
from evaluation.queries.settings import AttackSettings
from mutant_store.datasets import ImageData
from tests.evaluation.queries.scripted import Scripted

SETTINGS: list[dict[str, Any]] = [
    {"method": "hopskipjump", "first_samples": 30},
    {"method": "boundary"},
    {"method": "geoda", "frequencies": 4},
    {"method": "square", "steps": 1000},
    {"method": "nes", "samples": 20},
    {"method": "simba"},
    {"method": "hopskipjump", "first_samples": 30, "adaptive": True},
    {"method": "square", "steps": 1000, "adaptive": True},
    {"method": "nes", "samples": 20, "adaptive": True},
]
LIMITS = {"linf": Limit("linf", 0.3), "l2": Limit("l2", 1.8)}
"""The nearest image of another digit is 2.6 away from the first in L2."""


def attack_of(settings: dict[str, Any]) -> AttackSettings:
    made: AttackSettings = TypeAdapter(AttackSettings).validate_python({"name": "one", **settings})
    return made


def run(service: Any, settings: dict[str, Any], right: ImageData, rules: Rules) -> tuple[Record, str]:
    attack = attack_of(settings)
    source, start = right.images[:2]
    return campaign(
        service, attack, source, start, int(right.labels[0]), 10, LIMITS[attack.norm], rules, seed=1
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda one: f"{one['method']}{one.get('adaptive', '')}")
def test_an_undefended_classifier_is_fooled(
    settings: dict[str, Any], perceptron: Scripted, right: ImageData
) -> None:
    first, second = (run(perceptron, settings, right, Rules(1500, 10)) for _ in range(2))
    record, end = first
    assert end == "evaded"
    assert 1 < record.evaded == record.queries <= 1500
    assert record.distance <= LIMITS[attack_of(settings).norm].size + 1e-6
    assert (asdict(record), end) == (asdict(second[0]), second[1])


@pytest.mark.parametrize("settings", SETTINGS[:6], ids=lambda one: one["method"])
def test_refusals_and_flat_answers_stop_every_attack(settings: dict[str, Any], right: ImageData) -> None:
    refusing = Scripted(lambda _: REFUSAL)
    record, end = run(refusing, settings, right, Rules(200, 7))
    assert end in {"refused", "gave up"}
    assert record.queries == record.refusals <= 7
    flat = Scripted(lambda _: Response(int(right.labels[0]), int(right.labels[0])))
    record, end = run(flat, settings, right, Rules(60, 7))
    assert end in {"budget", "gave up"}
    assert record.queries <= 60
    assert record.evaded == -1
