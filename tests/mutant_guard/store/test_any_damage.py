"""Every field and every file of a store, changed in every way: a StoreError of one line, or right answers."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mutant_guard import Guard
from mutant_guard.errors import StoreError
from mutant_guard.store.reader import CALIBRATION, CURRENT, MANIFEST, MUTANTS
from tests.support.damage import current, republish
from tests.support.service import digits
from tests.support.versions import copy_of

IMAGES = digits(3)[..., None]
REMOVED = object()
VALUES = [REMOVED, None, "../../etc/passwd\0", 0, -1, 10**12, 10**400, 1e308, [], {}]

Way = tuple[str | int, ...]


def answers(store: Path, policy: str = "calibrated") -> bool:
    """Return whether a store answers; fail where it neither does nor is refused in one line."""
    try:
        guard = Guard(
            store,
            policy=policy,
            order_key="0" * 16,
            device="cpu",
            threads=1,
            batch_rows=8,
            max_batch_rows=64,
            inline_ms=0.0,
        )
    except StoreError as error:
        assert len(str(error).splitlines()) == 1
        assert str(store) in str(error) or "store 'digits'" in str(error)
        return False
    with guard:
        names = guard.models.default.store.manifest.classes
        for answer in guard.classify_many(IMAGES):
            assert answer.class_name == names[answer.label]
            assert 0 <= answer.confidence <= 1
            assert answer.explain().model_dump_json()
    return True


def ways(record: object, way: Way = ()) -> Iterator[Way]:
    """Yield the place of every value in a record; of a list the first and the last."""
    yield way
    if isinstance(record, dict):
        for name, value in record.items():
            yield from ways(value, (*way, name))
    elif isinstance(record, list):
        for number in sorted({0, len(record) - 1} & set(range(len(record)))):
            yield from ways(record[number], (*way, number))


def put(record: Any, way: Way, value: object) -> None:
    for step in way[:-1]:
        record = record[step]
    if value is REMOVED:
        del record[way[-1]]
    else:
        record[way[-1]] = value


def check_field(store: Path, part: str, way: Way, policy: str = "calibrated") -> None:
    """Give a field of a record, and everything in it, every value in turn."""
    value = json.loads((current(store) / part).read_bytes())
    for step in way:
        value = value[step]
    good = (store / CURRENT).read_text()
    for place in ways(value, way):
        for other in VALUES:
            (store / CURRENT).write_text(good)
            change = partial(put, way=place, value=other)
            version = republish(store, **{part.removesuffix(".json"): change})  # type: ignore[arg-type]
            answers(store, policy)
            if version != good:
                shutil.rmtree(store / version)


MANIFEST_FIELDS = [
    "schema_version",
    "name",
    "input",
    "input_name",
    "output_name",
    "output_kind",
    "classes",
    "operator",
    "rate",
    "rates",
    "seed",
    "neurons",
    "layers",
    "mutants",
    "decks",
    "candidates",
    "candidates_drawn",
    "ranks",
    "robust",
    "companions",
    "views",
    "accuracy_ratio",
    "filter_error",
    "original_accuracy",
    "accuracies",
    "bank",
    "data",
    "retraining",
    "files",
    "built_with",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", MANIFEST_FIELDS)
def test_any_field_of_the_manifest(name: str, digits_store: Path, tmp_path: Path) -> None:
    store = copy_of(digits_store, tmp_path)
    assert answers(store)
    check_field(store, MANIFEST, (name,))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["operator", "bank", "ranks", "companions", "robust", "views"])
def test_any_field_of_companions(name: str, companion_store: Path, tmp_path: Path) -> None:
    store = copy_of(companion_store, tmp_path)
    assert answers(store)
    check_field(store, MANIFEST, (name,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "name"),
    [
        ("robust_companion_store", "mutant"),
        ("robust_companion_store", "companion"),
        ("certified_store", "bounds"),
    ],
)
def test_any_field_of_robust_mutants(
    made: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store = copy_of(request.getfixturevalue(made), tmp_path)
    assert answers(store)
    check_field(store, MANIFEST, ("robust", 0, name))


def test_a_companion_that_training_started_from_is_one_of_the_store(
    robust_companion_store: Path, tmp_path: Path
) -> None:
    store = copy_of(robust_companion_store, tmp_path)
    for number, fits in ((2, True), (3, False)):
        republish(store, manifest=partial(put, way=("robust", 0, "companion"), value=number))
        assert answers(store) is fits


@pytest.mark.slow
@pytest.mark.parametrize("name", ["schema_version", "settings", "normal_label_change_rate", "doubts"])
def test_any_field_of_the_calibration(name: str, retrained_store: Path, tmp_path: Path) -> None:
    check_field(copy_of(retrained_store, tmp_path), CALIBRATION, (name,))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test", "pool", "hypotheses", "error_bounds", "certificate", "alarms"])
@pytest.mark.parametrize(
    ("made", "policy"),
    [
        ("digits_store", "calibrated"),
        ("digits_store", "fixed"),
        ("digits_store", "paper"),
        ("retrained_store", "calibrated"),
    ],
)
def test_any_field_of_a_policy(
    made: str, policy: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store = copy_of(request.getfixturevalue(made), tmp_path)
    assert answers(store, policy)
    check_field(store, CALIBRATION, ("policies", policy, name), policy)


def test_no_field_is_forgotten(digits_store: Path) -> None:
    assert sorted(json.loads((current(digits_store) / MANIFEST).read_bytes())) == sorted(MANIFEST_FIELDS)


def nothing(path: Path) -> None:
    path.touch()


def leads_nowhere(path: Path) -> None:
    path.symlink_to("gone")


def leads_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("made", ["digits_store", "retrained_store"])
@pytest.mark.parametrize(
    "make", [nothing, Path.mkdir, os.mkfifo, leads_nowhere, leads_to_itself], ids=lambda make: make.__name__
)
def test_any_file_that_is_something_else(
    made: str, make: Callable[[Path], object], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store = copy_of(request.getfixturevalue(made), tmp_path)
    for path in [store / CURRENT, *current(store).iterdir()]:
        kept = path.read_bytes()
        path.unlink()
        make(path)
        assert not answers(store), path
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        path.write_bytes(kept)
    assert answers(store)


@pytest.mark.parametrize("made", ["digits_store", "retrained_store", "mixed_store"])
def test_any_file_cut_short_or_changed_with_its_hash_put_right(
    made: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A file that is not used for answers (and labels recorded for calibration alone) may be anything."""
    store = copy_of(request.getfixturevalue(made), tmp_path)
    good = (store / CURRENT).read_text()
    for name in sorted(
        path.name for path in current(store).iterdir() if path.name not in (MANIFEST, CALIBRATION)
    ):
        refused = 0
        for share in (0.0, 0.1, 0.5, 0.9, 0.999):
            for change in (
                lambda content, share=share: content[: int(len(content) * share)],
                lambda content, share=share: flipped(content, int(len(content) * share)),
            ):
                (store / CURRENT).write_text(good)
                republish(store, files={name: change})
                refused += not answers(store)
        used = name.endswith((".onnx", ".bin")) or (name == MUTANTS and made != "digits_store")
        assert refused >= 4 or not used, name


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :]
