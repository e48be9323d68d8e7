"""Shapes of activations for many images."""

import pytest
from onnx import parser

from mutant_store.graph.batch.shapes import ShapeMismatchError, Shapes
from mutant_store.graph.graph import Graph

MANY = 10_007


def graph_of(body: str) -> Graph:
    text = (
        f'<ir_version: 8, opset_import: ["": 17, "far": 1]> g (float[2,3,4] x) => (float[a] y) {{ {body} }}'
    )
    return Graph(parser.parse_model(text))


def inferred(body: str) -> Shapes:
    graph = graph_of(body)
    shapes = Shapes(graph, "x", MANY, 2)
    for node in graph.nodes:
        shapes.infer(node)
    return shapes


def test_the_batch_shows_wherever_it_goes() -> None:
    shapes = inferred("a = Transpose <perm = [1, 0, 2]> (x) b = Flatten (a) y = Relu (b)")
    assert (shapes.of("x"), shapes.of("a"), shapes.of("y")) == ((MANY, 3, 4), (3, MANY, 4), (3, 4 * MANY))
    assert shapes.few((3, 4 * MANY)) == (3, 8)
    assert shapes.of("elsewhere") is None


def test_numbers_about_shapes_are_followed() -> None:
    shapes = inferred(
        "s = Shape <start = 0, end = 2> (x) p = ReduceProd <keepdims = 1> (s) n = Size (x) d = Concat <axis = 0> (s, p)"
        "y = Reshape (x, s)"
    )
    values = {name: value.tolist() for name in "spnd" if (value := shapes.value(name)) is not None}
    assert values == {"s": [MANY, 3], "p": [3 * MANY], "n": 12 * MANY, "d": [MANY, 3, 3 * MANY]}
    assert shapes.value("x") is None


def test_what_follows_an_unknown_operator_is_unknown() -> None:
    shapes = inferred("a = far.Away (x) b = NoSuchThing (x) c = Relu (a) y = Add (b, c)")
    assert [shapes.of(name) for name in "abcy"] == [None] * 4


def test_a_node_for_just_so_many_images_is_told_from_one_that_is_wrong() -> None:
    graph = graph_of("y = Add (x, c)")
    for rows, raised in ((2, True), (5, False)):
        constant = parser.parse_model(
            f'<ir_version: 8, opset_import: ["": 17]> g (float[1] x) => (float[1] c) <float[{rows}, 1, 1] c = '
            f"{{{', '.join('1' * rows)}}}> {{ }}"
        )
        graph.constants["c"] = constant.graph.initializer[0]
        shapes = Shapes(graph, "x", MANY, 2)
        if raised:
            with pytest.raises(ShapeMismatchError):
                shapes.infer(graph.nodes[0])
        else:
            assert shapes.infer(graph.nodes[0]) == []
