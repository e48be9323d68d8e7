"""Choice of the output that holds the class scores."""

import pytest
from onnx import parser

from mutant_store.graph.class_scores import kind_of, unzip
from mutant_store.graph.graph import Graph


def graph_of(body: str, outputs: str = "float[n,3] y") -> Graph:
    head = '<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 3]>'
    return Graph(parser.parse_model(f"{head} g (float[n,3] x) => ({outputs}) {{ {body} }}"))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("y = Softmax (x)", "probabilities"),
        ("a = Sigmoid (x) b = Identity (a) y = Cast <to = 1> (b)", "probabilities"),
        ("a = Softmax (x) y = Log (a)", "logits"),
        ("y = Identity (x)", "logits"),
    ],
)
def test_probabilities_are_known_by_where_they_come_from(body: str, kind: str) -> None:
    assert kind_of(graph_of(body), "y") == kind


def test_scores_are_taken_out_of_a_dictionary() -> None:
    graph = graph_of("a = Softmax (x) y = ai.onnx.ml.ZipMap <classlabels_int64s = [0, 1, 2]> (a)")
    unzip(graph)
    assert [node.op_type for node in graph.nodes] == ["Softmax", "Identity"]
    assert graph.proto.output[0].type.tensor_type.elem_type == 1
    assert kind_of(graph, "y") == "probabilities"


def test_a_dictionary_of_scores_that_are_there_already_is_left() -> None:
    zipped = "y = Softmax (x) z = ai.onnx.ml.ZipMap <classlabels_int64s = [0, 1, 2]> (y)"
    graph = graph_of(zipped, "float[n,3] y, seq(map(int64, float)) z")
    unzip(graph)
    assert [node.op_type for node in graph.nodes] == ["Softmax", "ZipMap"]
