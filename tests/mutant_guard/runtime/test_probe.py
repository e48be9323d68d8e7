"""Self-test of a version when it is loaded: what any request would meet refuses it, and nothing is counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mutant_guard import Guard, Observer
from mutant_guard.errors import StoreError
from mutant_guard.runtime.scheduling.batches import Run
from mutant_guard.store.reader import PREFIX
from tests.support.damage import republish
from tests.support.service import digits
from tests.support.versions import copy_of


def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], **attributes)


def constant(name: str, *values: float, kind: type[np.generic] = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, kind), name)


def changed(
    source: str, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]
) -> Callable[[bytes], bytes]:
    """Return a change of a graph that has ``source`` replaced by ``new_source`` wherever it is read."""

    def change(content: bytes) -> bytes:
        model = onnx.ModelProto.FromString(content)
        for reader in model.graph.node:
            reader.input[:] = [f"new_{source}" if name == source else name for name in reader.input]
        for position, added in enumerate(nodes):
            model.graph.node.insert(position, added)
        model.graph.initializer.extend(constants)
        return bytes(model.SerializeToString())

    return change


def fails_on(colour: float) -> Callable[[bytes], bytes]:
    """Return a change by which the original fails on an image whose every value is ``colour``."""
    nodes = [
        node("ReduceMax", ["images"], "most", axes=[1, 2, 3], keepdims=0),
        node("ReduceMin", ["images"], "least", axes=[1, 2, 3], keepdims=0),
        node("Equal", ["most", "least"], "plain"),
        node("Equal", ["most", "colour"], "coloured"),
        node("And", ["plain", "coloured"], "meant"),
        node("Cast", ["meant"], "place", to=TensorProto.INT64),
        node("Gather", ["one", "place"], "factors"),  # a place beyond the only one is an error
        node("Reshape", ["factors", "shape"], "shaped"),
        node("Mul", ["images", "shaped"], "new_images"),
    ]
    constants = [
        constant("colour", colour),
        constant("one", 1),
        constant("shape", -1, 1, 1, 1, kind=np.int64),
    ]
    return changed("images", nodes, constants)


STANDARDISED = changed(
    "images",
    [
        node("ReduceMean", ["images"], "mean", axes=[1, 2, 3], keepdims=1),
        node("Sub", ["images", "mean"], "centred"),
        node("Mul", ["centred", "centred"], "squares"),
        node("ReduceMean", ["squares"], "variance", axes=[1, 2, 3], keepdims=1),
        node("Sqrt", ["variance"], "deviation"),
        node("Div", ["centred", "deviation"], "new_images"),
    ],
    [],
)

LAST_FAILS = changed(
    "mutant_index",
    [
        node("Equal", ["mutant_index", "last"], "is_last"),
        node("Cast", ["is_last"], "one_or_none", to=TensorProto.INT64),
        node("Mul", ["one_or_none", "far"], "more"),
        node("Add", ["mutant_index", "more"], "new_mutant_index"),
    ],
    [constant("last", 60, kind=np.int64), constant("far", 10**6, kind=np.int64)],
)


@pytest.fixture
def copy(digits_store: Path, tmp_path: Path) -> Path:
    return copy_of(digits_store, tmp_path)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        pytest.param(PREFIX, fails_on(0.0), id="a black image"),
        pytest.param(PREFIX, fails_on(1.0), id="a white image"),
        pytest.param("bank-0.onnx", LAST_FAILS, id="the last mutant"),
    ],
)
def test_a_version_that_fails_on_one_is_refused(
    file: str, change: Callable[[bytes], bytes], copy: Path
) -> None:
    with Guard(copy, threads=1) as guard:
        republish(copy, files={file: change})
        with pytest.raises(StoreError, match=r"fails its self-test \(.*; build the store again"):
            guard.load("digits")
        assert guard.classify(digits(1)[0][..., None]).version == guard.models.default.version
    with pytest.raises(StoreError, match="fails its self-test"):
        Guard(copy, threads=1)


def test_a_classifier_without_finite_scores_for_one_colour_is_served(copy: Path) -> None:
    republish(copy, files={PREFIX: STANDARDISED})
    with Guard(copy, threads=1) as guard:
        assert len(list(guard.classify_many(digits(5)[..., None]))) == 5


class Counting(Observer):
    """Observer that counts runs and decisions."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def ran(self, run: Run) -> None:
        self.told.append(run)

    def decided(self, outcome: object) -> None:
        self.told.append(outcome)

    def decoded(self, seconds: float) -> None:
        self.told.append(seconds)


def test_the_test_is_not_counted(digits_store: Path) -> None:
    observer = Counting()
    settings = {"batch_rows": 8, "max_batch_rows": 64, "inline_ms": 0.0}
    with Guard(digits_store, threads=1, observer=observer, **settings) as guard:  # type: ignore[arg-type]
        assert observer.told == []
        guard.classify(digits(1)[0][..., None])
        assert observer.told
