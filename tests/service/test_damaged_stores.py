"""Stores that are damaged: one line at the start, 409 to a load, and the version before goes on."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from mutant_guard import Guard
from mutant_guard.errors import StoreError
from mutant_guard.store.reader import CALIBRATION, CURRENT, MANIFEST, MUTANTS, PREFIX, WEIGHTS
from service.cli.app import app
from service.guard_service import GuardService
from tests.support.api_keys import add_key
from tests.support.damage import Json, current, republish
from tests.support.service import digits, encode, serving, settings_for
from tests.support.versions import add_version, copy_of

pytestmark = pytest.mark.anyio

BODY = encode(digits(1)[0])
Damage = Callable[[Path], object]


def field(name: str, value: object) -> Damage:
    """Return a damage that sets a field of the manifest."""
    return lambda store: republish(store, manifest=lambda record: record.update({name: value}))


def tail(name: str, value: object) -> Damage:
    """Return a damage that sets a field of the first tail."""
    return lambda store: republish(store, manifest=lambda record: record["bank"][0].update({name: value}))


def numbers(policy: str, **values: object) -> Damage:
    """Return a damage that sets numbers of a policy's test."""
    return lambda store: republish(
        store, calibration=lambda record: record["policies"][policy]["test"].update(values)
    )


def moved(name: str) -> Damage:
    """Return a damage that puts a file outside the version, where the manifest finds it."""

    def damage(store: Path) -> None:
        def rename(record: Json) -> None:
            record["files"][f"../../{name}"] = record["files"].pop(name)
            for entry in record["bank"]:
                if entry["file"] == name:
                    entry["file"] = f"../../{name}"

        shutil.copy(current(store) / name, store.parent / name)
        republish(store, manifest=rename)

    return damage


def file(name: str, change: Callable[[bytes], bytes]) -> Damage:
    """Return a damage that changes a file and puts its hash right."""
    return lambda store: republish(store, files={name: change})


def replaced(name: str, make: Callable[[Path], object]) -> Damage:
    """Return a damage that puts something else in the place of a file of the version, or of ``CURRENT``."""

    def damage(store: Path) -> None:
        republish(store, manifest=lambda record: record["built_with"].update(damage="yes"))
        path = store / name if name == CURRENT else current(store) / name
        path.unlink()
        make(path)

    return damage


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def graph(change: Callable[[onnx.ModelProto], object]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        model = onnx.ModelProto.FromString(content)
        change(model)
        return bytes(model.SerializeToString())

    return changed


def of_strings(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def without_scores(model: onnx.ModelProto) -> None:
    del model.graph.output[-1]


def out_of_table(model: onnx.ModelProto) -> None:
    """Have the last mutants look beyond the end of the tables."""
    model.graph.initializer.append(helper.make_tensor("far", TensorProto.INT64, [1], [10**6]))
    for node in model.graph.node:
        node.input[:] = ["moved" if name == "mutant_index" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Add", ["mutant_index", "far"], ["moved"]))


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no decks": (field("decks", 0), "decks"),
    "three names for ten classes": (field("classes", ["a", "b", "c"]), "10 scores.* 3 classes"),
    "no names": (field("classes", []), "classes"),
    "a million million mutants": (field("mutants", 10**12), "each of 1,000,000,000,000 mutants once"),
    "fewer mutants than the bank has": (field("mutants", 59), "each of 59 mutants once"),
    "no input": (field("input", None), "input"),
    "another height": (
        lambda store: republish(store, manifest=lambda record: record["input"].update(height=9)),
        r"takes images \[1, 8, 8\], the manifest says \[1, 9, 8\]",
    ),
    "a mutant twice": (tail("mutants", [1] * 60), "each of 60 mutants once"),
    "features that are not there": (tail("features", ["nothing"]), "nothing"),
    "weights of their own that are not there": (tail("shared", value=False), "missing|damaged"),
    "a graph outside the version": (moved("bank-0.onnx"), r"'\.\./\.\./bank-0\.onnx' is no plain name"),
    "weights outside the version": (moved(WEIGHTS), r"'\.\./\.\./weights\.bin' is no plain name"),
    "a tail outside the version": (tail("file", "../../bank-0.onnx"), "is no plain name"),
    "no calibration": (
        lambda store: republish(store, manifest=lambda record: record["files"].pop(CALIBRATION)),
        f"names no file '{CALIBRATION}'",
    ),
    "a policy for more mutants": (
        lambda store: republish(
            store, calibration=lambda record: record["policies"]["calibrated"].update(pool=10**12)
        ),
        "it is for 1,000,000,000,000 mutants, the store has 60",
    ),
    "a test beyond the pool": (numbers("calibrated", high=10**9), "need 0 <= counts < high <= pool"),
    "weights cut short, hash right": (file(WEIGHTS, half), "out of bounds"),
    "a graph cut short, hash right": (file(PREFIX, half), "onnxruntime cannot load the graph"),
    "a graph of doubles": (file(PREFIX, graph(of_strings)), "onnxruntime cannot load|does not take float32"),
    "a graph without scores": (file(PREFIX, graph(without_scores)), "64 scores.* 10 classes"),
    "mutants beyond the tables": (
        file("bank-0.onnx", graph(out_of_table)),
        "self-test",
    ),
    "a folder for the weights": (replaced(WEIGHTS, Path.mkdir), "it is no regular file"),
    "a pipe for the weights": (replaced(WEIGHTS, os.mkfifo), "it is no regular file"),
    "a pipe for the manifest": (replaced(MANIFEST, os.mkfifo), "it is no regular file"),
    "a gibibyte of manifest": (replaced(MANIFEST, sparse), "it has 1,073,741,824 bytes"),
    "a pipe for CURRENT": (replaced(CURRENT, os.mkfifo), "it is no regular file"),
    "a gibibyte of CURRENT": (replaced(CURRENT, sparse), "it has 1,073,741,824 bytes"),
    "a device for CURRENT": (replaced(CURRENT, lambda path: path.symlink_to("/dev/zero")), "no regular file"),
    "CURRENT in circles": (replaced(CURRENT, lambda path: path.symlink_to(CURRENT)), "cannot be read"),
    "deep brackets": (replaced(MANIFEST, lambda path: path.write_bytes(b"[" * 200_000)), "is damaged"),
}
WHOLE_DAMAGES: dict[str, tuple[Damage, str]] = {
    "mutants cut short, hash right": (file(MUTANTS, half), f"{MUTANTS} is damaged"),
    "no mutants": (file(MUTANTS, lambda content: b""), f"{MUTANTS} is damaged"),
    "mutants that are text": (file(MUTANTS, lambda content: b"mutants"), f"{MUTANTS} is damaged"),
    "doubts about other scores": (
        lambda store: republish(
            store,
            calibration=lambda record: record["policies"]["calibrated"]["test"]["evidence"].update(
                output_kind="probabilities"
            ),
        ),
        "it is for probabilities, the scores are logits",
    ),
}
EVERY = [
    pytest.param(made, *case, id=name)
    for made, cases in (("digits_store", DAMAGES), ("retrained_store", WHOLE_DAMAGES))
    for name, case in cases.items()
]


@pytest.mark.parametrize(("made", "damage", "message"), EVERY)
async def test_a_damaged_version_is_refused_in_one_line_and_the_one_before_goes_on(
    made: str, damage: Damage, message: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store = copy_of(request.getfixturevalue(made), tmp_path)
    admin = {"X-API-Key": add_key(tmp_path / "keys.json", "ops", role="admin")}
    user = {"X-API-Key": add_key(tmp_path / "keys.json", "alice")}
    guard = GuardService(settings_for(store, api_keys_file=tmp_path / "keys.json"))
    async with serving(guard) as client:
        before = (await client.post("/classify", content=BODY, headers=user)).json()
        damage(store)
        refused = await client.post("/v2/repository/models/digits/load", headers=admin)
        assert refused.status_code == 409
        assert before["store"]["version"] in refused.json()["detail"]
        after = await client.post("/classify", content=BODY, headers=user)
        assert after.status_code == 200
        assert _judged(after.json()) == _judged(before)
    with pytest.raises(StoreError, match=message) as error:
        Guard(store)
    assert "\n" not in str(error.value)
    assert str(store) in str(error.value)
    assert str(error.value) in refused.json()["detail"]
    started = CliRunner().invoke(app, ["serve", "--store", str(store)])
    assert started.exit_code == 1
    assert started.stderr == f"error: {error.value}\n"


def _judged(answer: Json) -> dict[str, Any]:
    return {name: answer[name] for name in ("store", "label", "verdict", "mutants", "label_changes")}


async def test_the_next_good_version_is_loaded(digits_store: Path, tmp_path: Path) -> None:
    store = copy_of(digits_store, tmp_path)
    with Guard(store, threads=1) as guard:
        field("decks", 0)(store)
        with pytest.raises(StoreError, match="decks"):
            guard.load("digits")
        (store / CURRENT).write_text(guard.models.default.version)
        added = add_version(store, seed=7)
        assert guard.load("digits").version == added
        assert guard.classify(BODY).version == added
