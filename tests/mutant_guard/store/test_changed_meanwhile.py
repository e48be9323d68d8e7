"""Stores that somebody changes while they are loaded, signed or published: only what was checked is used."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from safetensors.numpy import load, save

from mutant_guard import Guard
from mutant_guard.errors import StoreError
from mutant_guard.runtime.answer import Answer
from mutant_guard.store.reader import CALIBRATION, MANIFEST, MUTANTS, PREFIX, WEIGHTS, load_store, version_of
from mutant_guard.store.signature import SIGNATURE, load_private_key, load_public_key, make_key
from mutant_store.bank.export import open_mutants
from mutant_store.publishing.housekeeping import sign_version
from mutant_store.publishing.publish import STAGING, publish, write_version
from tests.support.damage import changed_after_reading, current, republish
from tests.support.service import digits
from tests.support.versions import copy_of

IMAGES = digits(20)[..., None]


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    for name, content in zip(("ours.key", "ours.pub"), make_key(), strict=True):
        (tmp_path / name).write_bytes(content)
    return tmp_path / "ours.key", tmp_path / "ours.pub"


@pytest.fixture(params=["shared", "whole"])
def signed(request: pytest.FixtureRequest, tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    """Directory of a signed store, whose mutants share weights or have all their own."""
    made = {"shared": "digits_store", "whole": "retrained_store"}[request.param]
    store = copy_of(request.getfixturevalue(made), tmp_path)
    sign_version(store, load_private_key(keys[0]))
    return store


def negated_weights(content: bytes) -> bytes:
    return (-np.frombuffer(content, np.float32)).tobytes()


def negated_scores(content: bytes) -> bytes:
    model = onnx.ModelProto.FromString(content)
    last = model.graph.output[-1].name
    for node in model.graph.node:
        node.output[:] = [f"{name}_before" if name == last else name for name in node.output]
    model.graph.node.append(helper.make_node("Neg", [f"{last}_before"], [last]))
    return model.SerializeToString()


def negated_mutants(content: bytes) -> bytes:
    return save(
        {name: -value if value.dtype == np.float32 else value for name, value in load(content).items()}
    )


def no_alarms(content: bytes) -> bytes:
    return content.replace(b'"threshold": ', b'"threshold": 9')


def another(content: bytes) -> bytes:
    return json.dumps(json.loads(content) | {"classes": list("abcdefghij")}).encode()


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    WEIGHTS: negated_weights,
    PREFIX: negated_scores,
    "bank-0.onnx": negated_scores,
    MUTANTS: negated_mutants,
    CALIBRATION: no_alarms,
    MANIFEST: another,
    SIGNATURE: lambda content: b"A" * 86 + b"==\n",
}


def said(guard: Guard) -> list[tuple[object, ...]]:
    def of(answer: Answer) -> tuple[object, ...]:
        return answer.version, answer.judgement.model_dump()

    with guard:
        return [
            *map(of, guard.classify_many(IMAGES)),
            guard.models.default.policy.boundaries.adversarial_at_least.tolist(),
        ]


def opened(store: Path, public: Path | None) -> Guard:
    return Guard(
        store,
        require_signature=public,
        order_key="a key for this test",
        device="cpu",
        threads=1,
        batch_rows=8,
        max_batch_rows=64,
        inline_ms=0.0,
    )


@pytest.mark.parametrize("how", ["replaced", "overwritten through another link"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_changes_while_a_store_loads_changes_no_answer(
    name: str, how: str, signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    expected = said(opened(signed, keys[1]))
    store = load_store(signed)
    path, shared = store.path / name, store.shares_weights
    other = CHANGES[name](path.read_bytes())
    link = tmp_path / "link"
    os.link(path, link)
    changed = []

    def change() -> None:
        if how == "replaced":
            path.unlink()
            path.write_bytes(other)
        else:
            link.write_bytes(other)
        changed.append(path.read_bytes() == other)

    with changed_after_reading(path, change):
        guard = opened(signed, keys[1])
    unused = name == MUTANTS and shared  # it is read last, for its hash alone
    assert changed == ([] if unused else [True])
    assert said(guard) == expected


def test_an_export_is_of_the_weights_that_were_checked(signed: Path) -> None:
    store = load_store(signed)
    expected = open_mutants(store).model(1)
    path = store.path / WEIGHTS
    with changed_after_reading(path, lambda: write(path, negated_weights(path.read_bytes()))):
        assert open_mutants(store).model(1) == expected


def test_an_export_of_changed_weights_is_refused(signed: Path) -> None:
    store = load_store(signed)
    path = store.path / WEIGHTS
    path.write_bytes(negated_weights(path.read_bytes()))
    with pytest.raises(StoreError, match=f"{WEIGHTS} is damaged"):
        open_mutants(store)


def test_the_manifest_that_was_checked_is_signed(signed: Path, keys: tuple[Path, Path]) -> None:
    directory = load_store(signed).path
    good = (directory / MANIFEST).read_bytes()
    other = another(good)
    with changed_after_reading(directory / MANIFEST, lambda: write(directory / MANIFEST, other)):
        sign_version(signed, load_private_key(keys[0]))
    assert (directory / MANIFEST).read_bytes() == other
    check_signed(directory, keys[1], good, other)


def test_the_manifest_that_was_written_is_published_and_signed(signed: Path, keys: tuple[Path, Path]) -> None:
    store = load_store(signed)
    shutil.copytree(store.path, signed / STAGING)
    good = write_version(signed / STAGING, {}, store.manifest.model_copy(update={"seed": 7}))
    other = another(good)
    write(signed / STAGING / MANIFEST, other)
    version = publish(signed, signed / STAGING, good, load_private_key(keys[0]))
    assert version == version_of(good)
    check_signed(signed / version, keys[1], good, other)
    with pytest.raises(StoreError, match="is not the signature of this manifest"):
        load_store(signed, signed_by=load_public_key(keys[1]))


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def check_signed(directory: Path, public: Path, good: bytes, other: bytes) -> None:
    key = load_public_key(public)
    key.check(directory, good)
    with pytest.raises(StoreError, match="is not the signature of this manifest"):
        key.check(directory, other)


def test_a_graph_whose_data_were_not_checked_is_refused(
    digits_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime looks for the data in the working directory where it is given none."""
    store = copy_of(digits_store, tmp_path)
    monkeypatch.chdir(current(store))
    republish(store, manifest=lambda record: record["files"].pop(WEIGHTS))
    with pytest.raises(StoreError, match=f"{WEIGHTS} not found"):
        opened(store, None)
