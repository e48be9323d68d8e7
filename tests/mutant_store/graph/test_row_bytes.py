"""Bytes of activations of a row, counted by hand and measured."""

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from mutant_guard.bank.session import _is_large, open_session, row_bytes
from mutant_store.graph import row_bytes as counted


def network(hidden: int, operator: str = "Relu", domain: str = "") -> ModelProto:
    """Return images [batch, 10] → dense of ``hidden`` → operator → sum → scores [batch, 1]."""
    weight = numpy_helper.from_array(np.ones((10, hidden), np.float32), "weight")
    nodes = [
        helper.make_node("MatMul", ["images", "weight"], ["dense"]),
        helper.make_node(operator, ["dense"], ["active"], domain=domain),
        helper.make_node("ReduceSum", ["active", "axes"], ["logits"], keepdims=1),
        helper.make_node("Neg", ["weight"], ["unused"]),  # it does not depend on the batch
    ]
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in (("images", 10), ("logits", 1))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], [weight, axes])
    sets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=sets, ir_version=10)


def test_the_bytes_are_those_of_tensors_that_live_at_a_time() -> None:
    """The most live while the operator runs: both hidden tensors. The images are done by then."""
    assert counted.row_bytes(network(100)) == 1.25 * 4 * (100 + 100)
    assert counted.row_bytes(network(2)) == 1.25 * 4 * (10 + 2)


def test_an_open_size_is_that_of_the_images() -> None:
    model = network(1)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "width"
    assert counted.row_bytes(model, (10,)) == 1.25 * 4 * (10 + 1)


def test_a_tensor_of_unknown_shape_counts_as_what_its_node_reads() -> None:
    assert counted.row_bytes(network(100, "Mystery", "somebody.else")) == counted.row_bytes(network(100))


def test_a_graph_is_told_once_and_onnxruntime_gives_it_back() -> None:
    model = counted.note_row_bytes(counted.note_row_bytes(network(100)))
    assert len(model.metadata_props) == 1
    assert row_bytes(open_session(model.SerializeToString())) == counted.row_bytes(model)
    assert row_bytes(open_session(network(3).SerializeToString())) == 0


def test_graphs_of_large_rows_are_told_from_others_by_their_end() -> None:
    for hidden, large in ((100, False), (1 << 20, True)):
        content = counted.note_row_bytes(network(hidden)).SerializeToString()
        assert _is_large(content) is large
    assert not _is_large(network(1 << 20).SerializeToString())
    assert not _is_large(Path("model.onnx"))
