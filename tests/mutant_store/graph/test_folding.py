import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from mutant_guard.bank.session import open_session
from mutant_store.graph.folding import simplify
from mutant_store.graph.graph import Graph


def graph_of(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], shape: list[str | int]) -> Graph:
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [source], [target], tensors)
    return Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def assert_same_after_simplify(graph: Graph, shape: tuple[int, ...]) -> list[str]:
    inputs = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    before = open_session(graph.to_model().SerializeToString()).run(None, {"x": inputs})[0]
    simplify(graph)
    model = graph.to_model()
    after = open_session(model.SerializeToString()).run(None, {"x": inputs})[0]
    np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-5)
    return [node.op_type for node in model.graph.node]


rng = np.random.default_rng(5)
NORM = {
    "s": rng.uniform(0.5, 2, 4),
    "t": rng.standard_normal(4),
    "m": rng.standard_normal(4),
    "v": rng.uniform(0.5, 2, 4),
}
NORM_INPUTS = ["s", "t", "m", "v"]


def test_batch_norm_folds_into_a_convolution_with_and_without_bias() -> None:
    for bias in ({}, {"b": rng.standard_normal(4)}):
        nodes = [
            helper.make_node("Conv", ["x", "w", *bias], ["c"]),
            helper.make_node("BatchNormalization", ["c", *NORM_INPUTS], ["y"], epsilon=0.01),
        ]
        graph = graph_of(nodes, {"w": rng.standard_normal((4, 2, 3, 3)), **bias, **NORM}, ["n", 2, 6, 6])
        assert assert_same_after_simplify(graph, (3, 2, 6, 6)) == ["Conv"]


def test_batch_norm_folds_into_a_dense_layer_either_way_round() -> None:
    for transposed in (0, 1):
        nodes = [
            helper.make_node("Gemm", ["x", "w", "b"], ["c"], transB=transposed),
            helper.make_node("BatchNormalization", ["c", *NORM_INPUTS], ["y"]),
        ]
        weight = rng.standard_normal((4, 5) if transposed else (5, 4))
        graph = graph_of(nodes, {"w": weight, "b": rng.standard_normal(4), **NORM}, ["n", 5])
        assert assert_same_after_simplify(graph, (3, 5)) == ["Gemm"]


def test_batch_norm_that_cannot_be_folded_stays() -> None:
    before = [
        helper.make_node("BatchNormalization", ["x", *NORM_INPUTS], ["c"]),
        helper.make_node("Conv", ["c", "w"], ["y"]),
    ]
    graph = graph_of(before, {"w": rng.standard_normal((3, 4, 1, 1)), **NORM}, ["n", 4, 5, 5])
    assert assert_same_after_simplify(graph, (2, 4, 5, 5)) == ["BatchNormalization", "Conv"]
    fan_out = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", *NORM_INPUTS], ["d"]),
        helper.make_node("Add", ["c", "d"], ["y"]),
    ]
    graph = graph_of(fan_out, {"w": rng.standard_normal((4, 2, 1, 1)), **NORM}, ["n", 2, 5, 5])
    assert assert_same_after_simplify(graph, (2, 2, 5, 5)) == ["Conv", "BatchNormalization", "Add"]


def test_folding_one_use_of_a_shared_weight_leaves_the_other_alone() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", *NORM_INPUTS], ["d"]),
        helper.make_node("Conv", ["x", "w"], ["e"]),
        helper.make_node("Add", ["d", "e"], ["y"]),
    ]
    graph = graph_of(nodes, {"w": rng.standard_normal((4, 2, 3, 3)), **NORM}, ["n", 2, 6, 6])
    assert assert_same_after_simplify(graph, (2, 2, 6, 6)) == ["Conv", "Conv", "Add"]


def test_computed_weights_become_constants_and_no_ops_go() -> None:
    nodes = [
        helper.make_node("Transpose", ["raw"], ["w"], perm=[1, 0]),
        helper.make_node("Identity", ["x"], ["i"]),
        helper.make_node("Gemm", ["i", "w"], ["c"]),
        helper.make_node("Dropout", ["c"], ["y0"]),
        helper.make_node("Relu", ["y0"], ["y"]),
    ]
    graph = graph_of(nodes, {"raw": rng.standard_normal((4, 5))}, ["n", 5])
    assert assert_same_after_simplify(graph, (3, 5)) == ["Gemm", "Relu"]
    assert graph.array("w").shape == (5, 4)


BRANCHES = """
    y = If (c) <
        then_branch = g1 () => (float[n,4] t) { a = Relu (h) b = If (d) <
            then_branch = g2 () => (float[n,4] u) { u = Neg (a) },
            else_branch = g3 () => (float[n,4] v) { v = Identity (h) }
        > t = Add (b, k) },
        else_branch = g4 () => (float[n,4] h2) { h2 = Identity (h) }
    >
"""


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("second", [0, 1])
def test_an_if_with_a_constant_condition_becomes_its_branch(first: int, second: int) -> None:
    head = '<ir_version: 8, opset_import: ["": 17]> g (float[n,4] x) => (float[n,4] y)'
    constants = f"<bool c = {{{first}}}, bool d = {{{second}}}, float[4] k = {{1, 2, 3, 4}}>"
    model = parser.parse_model(f"{head} {constants} {{ o = Sigmoid (x) h = Sub (o, k) {BRANCHES} }}")
    graph = Graph(model)
    graph.restrict(["y"])  # what only a branch reads is kept
    inputs = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    simplify(graph)
    before, after = [
        open_session(m.SerializeToString()).run(None, {"x": inputs})[0] for m in (model, graph.to_model())
    ]
    np.testing.assert_array_equal(before, after)
    assert "If" not in {node.op_type for node in graph.nodes}
    assert len({name for node in graph.nodes for name in node.output}) == len(graph.nodes)
