"""``calibration.json``: the records it accepts, and the policies they give."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from mutant_guard.errors import StoreError
from mutant_guard.store.calibration_record import CalibrationRecord, CalibrationSettings, PolicyRecord
from mutant_guard.store.manifest import SCHEMA_VERSION
from mutant_guard.store.reader import CALIBRATION, Store, load_store
from mutant_store.publishing.publish import file_entry, publish, write_version
from tests.support.versions import copy_of


@pytest.mark.parametrize(
    ("rate", "confidence", "needed"),
    [(0.05, 0.95, 59), (0.01, 0.95, 299), (0.02, 0.95, 149), (0.5, 0.5, 1), (0.05, 0.99, 90)],
)
def test_images_needed_to_certify_a_rate(rate: float, confidence: float, needed: int) -> None:
    settings = CalibrationSettings(max_false_alarm=rate, confidence=confidence)
    assert settings.certification_images == needed
    assert (1 - rate) ** needed <= 1 - confidence + 1e-12 < (1 - rate) ** (needed - 1) + 2e-12


@pytest.mark.parametrize(
    "field",
    [
        {"max_false_alarm": 1},
        {"max_miss": 0},
        {"rho": 0},
        {"fixed_mutants": 1.5},
        {"delta_ratio": 1},
        {"new": 1},
    ],
)
def test_settings_out_of_range_are_refused(field: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        CalibrationSettings.model_validate(field)


def test_the_record_survives_a_round_trip(published_store: tuple[Path, Store]) -> None:
    record = published_store[1].calibration
    assert record.schema_version == SCHEMA_VERSION == 6
    assert CalibrationRecord.model_validate_json(record.model_dump_json()) == record
    kinds = {name: policy.test.kind for name, policy in record.policies.items()}
    assert kinds == {"calibrated": "finite-pool-sprt", "fixed": "fixed", "paper": "sprt"}


@pytest.mark.parametrize("name", ["calibrated", "fixed", "paper"])
def test_a_policy_read_back_decides_as_the_one_recorded(
    published_store: tuple[Path, Store], name: str
) -> None:
    record = published_store[1].calibration.policies[name]
    policy = record.policy(name)
    again = PolicyRecord.model_validate_json(record.model_dump_json()).policy(name)
    assert np.array_equal(again.boundaries.normal_at_most, policy.boundaries.normal_at_most)
    assert np.array_equal(again.boundaries.adversarial_at_least, policy.boundaries.adversarial_at_least)
    assert (again.hypotheses, again.targets, again.error_bounds) == (
        policy.hypotheses,
        policy.targets,
        policy.error_bounds,
    )
    assert record.hypotheses is not None
    assert policy.hypotheses._asdict() == record.hypotheses.model_dump()
    bounds = policy.error_bounds
    assert (bounds._asdict() if bounds else None) == record.error_bounds


@pytest.mark.parametrize(
    ("name", "field", "value"), [("calibrated", "high", 61), ("paper", "p0", 1.5), ("calibrated", "alpha", 0)]
)
def test_numbers_that_make_no_test_are_damage(
    published_store: tuple[Path, Store], tmp_path: Path, name: str, field: str, value: float
) -> None:
    copy = copy_of(published_store[0], tmp_path)
    store = load_store(copy)
    record = json.loads((store.path / CALIBRATION).read_bytes())
    record["policies"][name]["test"][field] = value
    content = json.dumps(record).encode()
    staged = copy_of(store.path, tmp_path / "staged")
    files = store.manifest.files | {CALIBRATION: file_entry(content)}
    manifest = store.manifest.model_copy(update={"files": files})
    publish(copy, staged, write_version(staged, {CALIBRATION: content}, manifest))
    with pytest.raises(StoreError, match=f"{CALIBRATION} is damaged at '.*{name}.*; build the store again"):
        load_store(copy).policy(name)


def test_a_test_of_an_unknown_kind_is_refused(published_store: tuple[Path, Store]) -> None:
    record = published_store[1].calibration.model_dump(mode="json")
    record["policies"]["fixed"]["test"]["kind"] = "oracle"
    with pytest.raises(ValidationError, match="oracle"):
        CalibrationRecord.model_validate(record)
