"""Numbers that are not finite in a store: it is not loaded, and the message says where."""

import json
import shutil
from collections.abc import Iterator
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import load_file, save

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.workers import Workers
from mutant_guard.errors import ModelError, StoreError
from mutant_guard.runtime.engine import load_engine
from mutant_guard.store import model_card
from mutant_guard.store.calibration_record import CalibrationRecord
from mutant_guard.store.manifest import Manifest
from mutant_guard.store.reader import CALIBRATION, MANIFEST, MUTANTS, load_store
from mutant_store.publishing.publish import STAGING, file_entry, publish
from tests.support.versions import add_version, copy_of

VALUES = pytest.mark.parametrize("value", [nan, inf, -inf], ids=str)


def places_of_numbers(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every number in parsed JSON, of a long list the first alone."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from places_of_numbers(value, (*path, name))
    elif isinstance(node, list):
        for place, value in enumerate(node[:1]):
            yield from places_of_numbers(value, (*path, place))
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path


def replaced(text: bytes, path: tuple[str | int, ...], value: float) -> str:
    whole = node = json.loads(text)
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return json.dumps(whole)


@VALUES
@pytest.mark.parametrize(("file", "kind"), [(MANIFEST, Manifest), (CALIBRATION, CalibrationRecord)])
def test_no_number_of_a_record_may_be_so(
    demo_store: Path,
    retrained_store: Path,
    file: str,
    kind: type[Manifest] | type[CalibrationRecord],
    value: float,
) -> None:
    for store in (demo_store, retrained_store):
        text = (load_store(store).path / file).read_bytes()
        places = list(places_of_numbers(json.loads(text)))
        assert len(places) > 10
        for path in places:
            with pytest.raises(ValidationError):
                kind.model_validate_json(replaced(text, path, value))


def test_loading_names_the_file_and_the_place(demo_store: Path, tmp_path: Path) -> None:
    changing = copy_of(demo_store, tmp_path)
    add_version(changing, rate=nan)
    with pytest.raises(StoreError, match=rf"{MANIFEST} is damaged at 'rate' \(.*finite.*\); build the store"):
        load_store(changing)


@pytest.mark.parametrize(("mean", "std"), [([0.0], [1e-300]), ([1e300], [1.0]), ([3e38], [1e-5])])
def test_a_normalisation_beyond_float32_is_refused(
    mean: list[float], std: list[float], demo_store: Path, tmp_path: Path
) -> None:
    changing = copy_of(demo_store, tmp_path)
    spec = load_store(changing).manifest.input.model_dump() | {"mean": mean, "std": std}
    add_version(changing, input=spec)
    with pytest.raises(StoreError, match=rf"{MANIFEST} is damaged at 'input\.(mean|std)\.0'"):
        load_store(changing)


@VALUES
def test_the_metadata_of_a_model_have_finite_numbers(value: float) -> None:
    for field in ("mean", "std"):
        with pytest.raises(ModelError, match="is damaged"):
            model_card.parse(json.dumps({field: [value]}))


@VALUES
def test_weights_of_mutants_are_finite(retrained_store: Path, value: float, tmp_path: Path) -> None:
    """The store is whole: hashes fit what is in it."""
    changing = copy_of(retrained_store, tmp_path)
    opened = load_store(changing)
    arrays = load_file(opened.path / MUTANTS)
    (name,) = (name for name in arrays if name.endswith(".values"))
    arrays[name][1234] = value
    staged = Path(shutil.copytree(opened.path, changing / STAGING))
    content = save(arrays)
    (staged / MUTANTS).write_bytes(content)
    files = opened.manifest.files | {MUTANTS: file_entry(content)}
    manifest = opened.manifest.model_copy(update={"files": files})
    text = manifest.model_dump_json().encode()
    (staged / MANIFEST).write_bytes(text)
    publish(changing, staged, text)
    with pytest.raises(StoreError, match=rf"{MUTANTS} holds weights that are not finite .* in '{name}'"):
        load_store(changing).session(threads=1)


def test_a_bank_that_gives_no_finite_scores_is_not_loaded(
    demo_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = BankSession.features

    def without_numbers(session: BankSession, inputs: np.ndarray) -> list[np.ndarray]:
        return [np.full_like(part, nan) for part in features(session, inputs)]

    monkeypatch.setattr(BankSession, "features", without_numbers)
    with pytest.raises(StoreError, match=r"not finite .* on an image of noise; build the store again"):
        load_engine(load_store(demo_store), device="cpu", workers=Workers(1))
