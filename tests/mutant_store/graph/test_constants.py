"""Nodes whose inputs are constant, against the rules of their own operator set."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from mutant_guard.errors import ModelError
from mutant_store.graph.constants import MOST_ELEMENTS, evaluate
from mutant_store.graph.folding import simplify
from mutant_store.graph.graph import Graph

VALUES = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)


def evaluated(node: NodeProto, opset: int, **inputs: NDArray[Any]) -> NDArray[Any] | None:
    constants = {name: numpy_helper.from_array(value, name) for name, value in inputs.items()}
    found = evaluate(node, constants, opset)
    return None if found is None else found["y"]


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [1, 2])
def test_before_operator_set_13_a_softmax_spans_all_axes_from_its_own_on(operator: str, axis: int) -> None:
    node = helper.make_node(operator, ["x"], ["y"], axis=axis)
    rows = VALUES.reshape(int(np.prod(VALUES.shape[:axis])), -1)
    flat = evaluated(helper.make_node(operator, ["x"], ["y"], axis=1), 13, x=rows)
    old, new = evaluated(node, 11, x=VALUES), evaluated(node, 13, x=VALUES)
    assert flat is not None
    assert old is not None
    assert new is not None
    np.testing.assert_allclose(old, flat.reshape(VALUES.shape), rtol=1e-6)
    if axis == 1:
        assert not np.allclose(old, new)


@pytest.mark.parametrize(
    ("node", "opset", "inputs", "shape"),
    [
        (
            helper.make_node("Upsample", ["x", "s"], ["y"]),
            9,
            {"s": np.array([1, 2, 2], np.float32)},
            (2, 6, 8),
        ),
        (
            helper.make_node("Resize", ["x", "s"], ["y"]),
            10,
            {"s": np.array([1, 2, 1], np.float32)},
            (2, 6, 4),
        ),
        (
            helper.make_node("Scatter", ["x", "i", "u"], ["y"], axis=2),
            9,
            {"i": np.zeros((2, 3, 1), np.int64), "u": np.ones((2, 3, 1), np.float32)},
            (2, 3, 4),
        ),
    ],
    ids=lambda value: getattr(value, "op_type", ""),
)
def test_operators_of_old_sets_are_evaluated(
    node: NodeProto, opset: int, inputs: dict[str, NDArray[Any]], shape: tuple[int, ...]
) -> None:
    found = evaluated(node, opset, x=VALUES, **inputs)
    assert found is not None
    assert found.shape == shape


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        (helper.make_node("ConstantOfShape", ["x"], ["y"]), {"x": np.array([10**6, 10**6])}),
        (helper.make_node("Expand", ["x", "s"], ["y"]), {"x": VALUES[0, 0, :1], "s": np.array([1 << 29])}),
        (
            helper.make_node("MatMul", ["x", "s"], ["y"]),
            {"x": np.ones((1 << 15, 1)), "s": np.ones((1, 1 << 14))},
        ),
        (helper.make_node("Tile", ["x", "s"], ["y"]), {"x": VALUES, "s": np.array([10**4, 10**4, 1])}),
    ],
    ids=lambda value: getattr(value, "op_type", ""),
)
def test_a_few_numbers_do_not_become_gigabytes(node: NodeProto, inputs: dict[str, NDArray[Any]]) -> None:
    with pytest.raises(ModelError, match=rf"{node.op_type} would make a constant of [0-9,]+ values"):
        evaluated(node, 17, **inputs)
    assert MOST_ELEMENTS < 1 << 29


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("RandomUniform", [], ["y"], shape=[2]),
        helper.make_node("Bernoulli", ["x"], ["y"]),
        helper.make_node("NoSuchThing", ["x"], ["y"]),
        helper.make_node("Relu", ["x"], ["y"], domain="far"),
        helper.make_node("Cast", ["x"], ["y"], to=16),  # numpy has no bfloat16
        helper.make_node("Transpose", ["x"], ["y"], perm=[0, 9]),
    ],
    ids=lambda node: node.op_type,
)
def test_what_cannot_be_evaluated_stays(node: NodeProto) -> None:
    assert evaluated(node, 17, **({"x": VALUES} if node.input else {})) is None


def test_a_graph_with_a_softmax_of_a_constant_gives_what_onnxruntime_gives() -> None:
    nodes = [
        helper.make_node("Softmax", ["c"], ["s"], axis=1),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, 1, ["n", 2, 3, 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(VALUES, "c")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    simplified = Graph(model)
    simplify(simplified)
    inputs = {"x": np.zeros((1, 2, 3, 4), np.float32)}
    before, after = (
        onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            None, inputs
        )[0]
        for m in (model, simplified.to_model())
    )
    np.testing.assert_allclose(after, before, rtol=1e-6)
    assert [node.op_type for node in simplified.nodes] == ["Add"]
