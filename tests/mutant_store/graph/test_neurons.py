from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mutant_guard.errors import ModelError
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers, neuron_count, select_layers


def graph_of(nodes: Sequence[onnx.NodeProto], shapes: dict[str, tuple[int, ...]]) -> Graph:
    tensors = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in shapes.items()]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    return Graph(
        helper.make_model(helper.make_graph(nodes, "g", [source], [target], tensors), opset_imports=domains)
    )


def node(kind: str, inputs: list[str], output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"my_{kind.lower()}", **attributes)


@pytest.mark.parametrize(
    ("kind", "inputs", "shapes", "attributes", "reason"),
    [
        ("ConvTranspose", ["x", "w"], {"w": (1, 2, 3, 3)}, {}, "transposed convolutions are not supported"),
        ("LSTM", ["x", "w", "r"], {"w": (1, 4, 1), "r": (1, 4, 1)}, {"hidden_size": 1}, "recurrent layers"),
        ("Einsum", ["x", "w"], {"w": (2, 2)}, {"equation": "ab,bc->ac"}, "export it as MatMul or Gemm"),
        ("Conv", ["x", "x"], {}, {}, "its weight is not a constant"),
        ("MatMul", ["w", "x"], {"w": (2, 2)}, {}, "its constant weight is on the left"),
        ("MatMul", ["x", "w"], {"w": (3, 2, 2)}, {}, "its weight has 3 dimensions"),
        ("Gemm", ["x", "w"], {"w": (2, 2)}, {"transA": 1}, "it transposes its input"),
        ("Gemm", ["x", "w", "x"], {"w": (2, 2)}, {}, "not a constant bias"),
    ],
)
def test_what_cannot_be_mutated_is_refused_by_name_and_reason(
    kind: str,
    inputs: list[str],
    shapes: dict[str, tuple[int, ...]],
    attributes: dict[str, Any],
    reason: str,
) -> None:
    with pytest.raises(
        ModelError, match=rf"cannot mutate {kind} 'my_{kind.lower()}' \(output 'y'\): .*{reason}"
    ):
        find_layers(graph_of([node(kind, inputs, **attributes)], shapes))


def test_other_domains_are_refused_by_name() -> None:
    custom = helper.make_node("Magic", ["x"], ["y"], name="spell", domain="com.example")
    with pytest.raises(ModelError, match=r"Magic 'spell' .*domain 'com.example'"):
        find_layers(graph_of([custom], {}))


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing to mutate"):
        find_layers(graph_of([node("Relu", ["x"])], {}))


def test_the_product_of_two_activations_has_no_neurons() -> None:
    nodes = [node("MatMul", ["x", "w"], "a"), helper.make_node("MatMul", ["a", "a"], ["y"])]
    assert [layer.neurons for layer in find_layers(graph_of(nodes, {"w": (4, 6)}))] == [6]


def test_a_weight_used_twice_counts_once_with_two_uses() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"]),
        helper.make_node("Conv", ["a", "w"], ["y"]),
    ]
    layers = find_layers(graph_of(nodes, {"w": (4, 4, 1, 1), "b": (4,)}))
    assert neuron_count(layers) == 4
    assert [(use.tap, use.bias) for use in layers[0].uses] == [("a", "b"), ("y", None)]


def test_a_separate_add_is_the_bias_of_a_matmul_only_when_it_alone_reads_it() -> None:
    shapes = {"w": (4, 6), "b": (6,)}
    add = helper.make_node("Add", ["b", "a"], ["y"])
    assert find_layers(graph_of([node("MatMul", ["x", "w"], "a"), add], shapes))[0].uses[0].tap == "y"
    reader = helper.make_node("Relu", ["a"], ["z"])
    assert find_layers(graph_of([node("MatMul", ["x", "w"], "a"), add, reader], shapes))[0].uses[0].tap == "a"


def test_layers_are_selected_by_name() -> None:
    nodes = [node("MatMul", ["x", "w"], "a"), helper.make_node("MatMul", ["a", "w2"], ["y"], name="head")]
    layers = find_layers(graph_of(nodes, {"w": (4, 4), "w2": (4, 3)}))
    assert [layer.name for layer in select_layers(layers, "^head$")] == ["head"]
    assert select_layers(layers, "") == layers
    with pytest.raises(ModelError, match="matches none of the model's layers: my_matmul, head"):
        select_layers(layers, "conv")
    with pytest.raises(ModelError, match="is no regular expression"):
        select_layers(layers, "(")
