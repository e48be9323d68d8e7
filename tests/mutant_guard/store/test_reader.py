import json
import shutil
from pathlib import Path

import pytest

from mutant_guard.errors import StoreError
from mutant_guard.store.calibration_record import FinitePoolRecord
from mutant_guard.store.doubts_record import StagedRecord
from mutant_guard.store.manifest import SCHEMA_VERSION
from mutant_guard.store.reader import (
    CALIBRATION,
    CURRENT,
    MANIFEST,
    MUTANTS,
    PREFIX,
    RECORDINGS,
    WEIGHTS,
    Store,
    load_store,
    version_of,
)
from mutant_store.publishing.check import check_store


@pytest.fixture
def copy(published_store: tuple[Path, Store], tmp_path: Path) -> Path:
    return Path(shutil.copytree(published_store[0], tmp_path / "digits"))


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["bank-0.onnx", PREFIX, WEIGHTS, MUTANTS, RECORDINGS, CALIBRATION, MANIFEST])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_flipped_byte_in_any_file_is_refused_and_the_file_named(
    copy: Path, name: str, share: float
) -> None:
    version = load_store(copy).version
    path = copy / version / name
    flip(path, int(path.stat().st_size * share))
    with pytest.raises(StoreError, match=rf"{name}.*(damaged|changed).*build the store again"):
        load_store(copy)


@pytest.mark.parametrize("name", ["bank-0.onnx", PREFIX, WEIGHTS, RECORDINGS, CALIBRATION, MANIFEST])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / load_store(copy).version / name).unlink()
    with pytest.raises(StoreError, match=rf"{name} cannot be read"):
        load_store(copy)


def test_a_newer_schema_is_refused_with_the_remedy(copy: Path) -> None:
    old = load_store(copy).version
    manifest = json.loads((copy / old / MANIFEST).read_bytes())
    manifest |= {"schema_version": SCHEMA_VERSION + 1, "what_the_future_brings": True}
    text = json.dumps(manifest).encode()
    shutil.copytree(copy / old, copy / version_of(text))
    (copy / version_of(text) / MANIFEST).write_bytes(text)
    (copy / CURRENT).write_text(version_of(text))
    with pytest.raises(StoreError, match="schema version 7, this release reads 6; update mutant-guard"):
        load_store(copy)


def test_no_store_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such store; make one with mutant-store build"):
        load_store(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "../../etc", ".building", "0123456789abcdef"])
def test_current_must_name_a_version_of_the_store(copy: Path, text: str) -> None:
    (copy / CURRENT).write_text(text)
    with pytest.raises(StoreError, match="names version"):
        load_store(copy)


def test_an_unknown_policy_is_refused(published_store: tuple[Path, Store]) -> None:
    with pytest.raises(StoreError, match=r"no policy 'guess'; it has calibrated, fixed, paper$"):
        published_store[1].policy("guess")


def test_policies_are_those_of_the_calibration(published_store: tuple[Path, Store]) -> None:
    store = published_store[1]
    assert set(store.calibration.policies) == {"calibrated", "fixed", "paper"}
    for name, record in store.calibration.policies.items():
        policy = store.policy(name)
        assert (policy.name, policy.pool, record.pool) == (name, 60, 60)
        test = record.test
        assert record.hypotheses is not None
        assert not isinstance(test, StagedRecord)
        assert policy.hypotheses._asdict() == record.hypotheses.model_dump()
        assert policy.targets.alpha == test.alpha
        assert policy.targets.beta == (test.false_alarm if isinstance(test, FinitePoolRecord) else test.beta)
        bounds = policy.error_bounds
        assert (bounds._asdict() if bounds else None) == record.error_bounds


def test_verify_holds_the_bank_against_its_mutants(published_store: tuple[Path, Store]) -> None:
    store, compared, worst = check_store(published_store[0], 60)
    assert (store.version, compared) == (published_store[1].version, 60)
    assert worst < 1e-4


def test_verify_notices_a_bank_that_belongs_to_other_mutants(
    published_store: tuple[Path, Store], digits_model: Path, tmp_path: Path
) -> None:
    import numpy as np

    from mutant_store.bank.export import open_mutants
    from mutant_store.bank.verify import largest_difference
    from tests.support.demo import build_digits_store

    other = build_digits_store(digits_model, tmp_path / "other", seed=9)
    inputs = np.random.default_rng(0).random((8, 1, 8, 8)).astype(np.float32)
    with pytest.raises(StoreError, match="answer for mutant 1 is not that of the mutant itself"):
        largest_difference(other.session(), open_mutants(published_store[1]), [0, 1], inputs)
