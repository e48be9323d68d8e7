"""Files exported for a fixed number of images."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser
from torch import nn

from mutant_guard.bank.session import open_session, run_session
from mutant_guard.errors import ModelError
from mutant_store.graph.classifier import check_scores, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from tests.support.networks import (
    Residual,
    Separable,
    Tokens,
    answer,
    convolutional,
    export,
    flat,
    randomised,
)
from tests.support.transformers import VisionTransformer

SHAPE = (2, 8, 8)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "convolutional": lambda: convolutional(2, 8, (4, 6), 5),
    "residual": lambda: Residual(2, 6, 5, softmax=True),
    "separable": lambda: Separable(2, 4, 5),
    "tokens": lambda: Tokens(8, 6, 5),
    "transformer": lambda: VisionTransformer(2, 8, 5),
    "fused attention": lambda: VisionTransformer(2, 8, 5, fused=True),
    "flat": lambda: nn.Sequential(nn.Flatten(), flat(128, 7, 5)),
}


def saved(path: Path, body: str, *, images: str = "float[2,3,4]", logits: str = "float[2,5]") -> Path:
    """Save a graph with a weight of 12×5 and the nodes of ``body``."""
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({images} images) => ({logits} logits) {{ {body} }}'
    model = parser.parse_model(text)
    weight = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(model, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dynamo", "size"),
    [
        *itertools.product(NETWORKS, [False], [1, 3]),
        ("convolutional", True, 1),
        ("transformer", True, 1),
        ("fused attention", True, 3),
    ],
)
def test_networks_exported_for_a_fixed_number_of_images_take_any(
    name: str, dynamo: bool, size: int, tmp_path: Path
) -> None:
    module = randomised(NETWORKS[name](), seed=1)
    path = export(module, SHAPE, tmp_path / "m.onnx", dynamic=False, batch=size, dynamo=dynamo)
    assert onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_value == size
    classifier = load_classifier(path)
    inputs = np.random.default_rng(0).standard_normal((5, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(check_scores(classifier, inputs), answer(module, inputs), rtol=1e-4, atol=1e-5)
    dynamic = load_classifier(export(module, SHAPE, tmp_path / "dynamic.onnx"))
    layers, others = (find_layers(Graph(opened.model)) for opened in (classifier, dynamic))
    assert [layer.neurons for layer in layers] == [layer.neurons for layer in others]


@pytest.mark.parametrize(
    "body",
    [
        "s = Constant <value_ints = [2, 12]> () x = Reshape (images, s) logits = MatMul (x, w)",
        "s = Constant <value_ints = [2, -1]> () x = Reshape (images, s) logits = MatMul (x, w)",
        "s = Constant <value_ints = [0, -1]> () x = Reshape (images, s) logits = MatMul (x, w)",
        "s = Constant <value_ints = [-1, 12]> () x = Reshape (images, s) logits = MatMul (x, w)",
        # Images folded into another axis and unfolded again.
        "s = Constant <value_ints = [6, 4]> () t = Constant <value_ints = [2, 12]> ()"
        "a = Reshape (images, s) b = Relu (a) x = Reshape (b, t) logits = MatMul (x, w)",
        # Batch on the second axis for a while.
        "s = Constant <value_ints = [3, 2, 2, 2]> () t = Constant <value_ints = [2, 12]> ()"
        "a = Transpose <perm = [1, 0, 2]> (images) b = Reshape (a, s) c = Transpose <perm = [1, 0, 2, 3]> (b)"
        "x = Reshape (c, t) logits = MatMul (x, w)",
        # Expansion, and rows of a constant beside every image.
        "s = Constant <value_ints = [2, 3, 4]> () t = Constant <value_ints = [2, 12]> ()"
        "a = ReduceMean <axes = [1]> (images) b = Expand (a, s) x = Reshape (b, t) logits = MatMul (x, w)",
        "z = Constant <value = float[2, 1, 4] {1, 2, 3, 4, 1, 2, 3, 4}> () i = Constant <value_ints = [1, 2, 3]> ()"
        "t = Constant <value_ints = [2, 12]> () a = Concat <axis = -2> (z, images) b = Gather <axis = 1> (a, i)"
        "x = Reshape (b, t) logits = MatMul (x, w)",
        # Shape computed when the model runs, some of it from the images.
        "s = Shape (images) i = Constant <value_ints = [0]> () n = Gather (s, i) m = Constant <value_ints = [-1]> ()"
        "t = Concat <axis = 0> (n, m) x = Reshape (images, t) logits = MatMul (x, w)",
    ],
)
def test_the_number_is_taken_out_of_shapes(body: str, tmp_path: Path) -> None:
    classifier = load_classifier(saved(tmp_path / "m.onnx", body))
    inputs = np.random.default_rng(0).standard_normal((6, 3, 4)).astype(np.float32)
    together = check_scores(classifier, inputs)
    session = open_session(tmp_path / "m.onnx")
    exported = [run_session(session, "images", pair)[0] for pair in np.split(inputs, 3)]
    np.testing.assert_allclose(together, np.concatenate(exported), rtol=1e-5, atol=1e-5)


def test_reshapes_do_not_read_the_number_from_the_images(tmp_path: Path) -> None:
    """``x.view(images.shape[0], -1)`` would tie a layer's rows to the images. A bank has more."""
    body = (
        "s = Shape (images) i = Constant <value_ints = [0]> () n = Gather (s, i) m = Constant <value_ints = [-1]> ()"
        "t = Concat <axis = 0> (n, m) a = Relu (images) x = Reshape (a, t) logits = MatMul (x, w)"
    )
    path = saved(tmp_path / "m.onnx", body, images="float[n,3,4]", logits="float[n,5]")
    classifier = load_classifier(path)
    assert "Shape" not in {node.op_type for node in classifier.model.graph.node}
    check_scores(classifier, np.random.default_rng(0).standard_normal((6, 3, 4)).astype(np.float32))


def test_expansions_do_not_read_the_number_from_the_images(tmp_path: Path) -> None:
    """A division by norms ``x / x.norm().expand_as(x)`` would tie a layer's rows to the images."""
    body = (
        "s = Shape (images) a = Relu (images) l = ReduceL2 <axes = [2]> (a) e = Expand (l, s) d = Div (a, e)"
        "f = Flatten (d) logits = MatMul (f, w)"
    )
    path = saved(tmp_path / "m.onnx", body, images="float[n,3,4]", logits="float[n,5]")
    classifier = load_classifier(path)
    assert "Shape" not in {node.op_type for node in classifier.model.graph.node}
    inputs = np.random.default_rng(0).random((6, 3, 4)).astype(np.float32)
    expected = run_session(open_session(path), "images", inputs)[0]
    np.testing.assert_allclose(check_scores(classifier, inputs), expected, rtol=1e-5, atol=1e-5)


STRIDED = (
    "all = Constant <value_ints = [-1]> () o = Constant <value_int = 0> () one = Constant <value_int = 1> ()"
    "ax = Constant <value_ints = [1, 2]> () each = Constant <value_int = 12> () a = Relu (images)"
    "flat = Reshape (a, all) s = Shape <start = 0, end = 1> (images) n = Squeeze (s) r = Range (o, n, one)"
    "starts = Mul (r, each) column = Unsqueeze (starts, ax) places = Add (column, inner)"
    "b = Gather (flat, places) t = Constant <value_ints = [-1, 12]> () x = Reshape (b, t) logits = MatMul (x, w)"
)
"""Nodes that torch's newer exporter makes of ``as_strided``, where ``inner`` are positions in an image."""


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("fixed", [False, True])
def test_strides_over_all_images_become_those_of_one(turned: bool, fixed: bool, tmp_path: Path) -> None:
    inner = np.arange(12).reshape(1, 3, 4)
    inner = np.ascontiguousarray(inner.transpose(0, 2, 1)) if turned else inner
    size = "2" if fixed else "n"
    path = saved(tmp_path / "m.onnx", STRIDED, images=f"float[{size},3,4]", logits=f"float[{size},5]")
    model = onnx.load(path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(inner, "inner"))
    onnx.save(model, path)
    classifier = load_classifier(path)
    inputs = np.random.default_rng(0).standard_normal((6, 3, 4)).astype(np.float32)
    session = open_session(path)
    exported = [run_session(session, "images", pair)[0] for pair in np.split(inputs, 3)]
    np.testing.assert_allclose(
        check_scores(classifier, inputs), np.concatenate(exported), rtol=1e-5, atol=1e-5
    )
    assert not {"Range", "Shape"} & {node.op_type for node in classifier.model.graph.node}


def test_positions_that_hang_on_pixels_stay_as_they_are(tmp_path: Path) -> None:
    body = STRIDED.replace(
        "n = Squeeze (s)", "n = Squeeze (s) q = ReduceMax (images) k = Cast <to = 7> (q)"
    ).replace("places = Add (column, inner)", "z = Mul (k, o) p = Add (column, z) places = Add (p, inner)")
    path = saved(tmp_path / "m.onnx", body, images="float[n,3,4]", logits="float[n,5]")
    model = onnx.load(path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.arange(12).reshape(1, 3, 4), "inner"))
    onnx.save(model, path)
    assert "Range" in {node.op_type for node in load_classifier(path).model.graph.node}


@pytest.mark.parametrize(
    ("body", "node"),
    [
        ("x = Squeeze (images, i) y = Unsqueeze (x, i) z = Flatten (y) logits = MatMul (z, w)", "Squeeze"),
        ("x = Gather (images, i) z = Flatten (x) logits = MatMul (z, w)", "Gather"),
        ("x = ReduceMean <axes = [0]> (images) z = Flatten (x) logits = MatMul (z, w)", "ReduceMean"),
        # Ambiguous whether the batch goes into the axis before it or behind it.
        (
            "s = Constant <value_ints = [3, 4]> () t = Constant <value_ints = [1, 12]> ()"
            "a = Transpose <perm = [1, 0, 2]> (images) b = Reshape (a, s) x = Reshape (b, t)"
            "logits = MatMul (x, w)",
            "Reshape",
        ),
    ],
)
def test_what_cannot_be_opened_is_refused_by_name(body: str, node: str, tmp_path: Path) -> None:
    body = f"i = Constant <value_ints = [0]> () {body}"
    path = saved(tmp_path / "m.onnx", body, images="float[1,3,4]", logits="float[1,5]")
    with pytest.raises(
        ModelError, match=rf"exported for batches of 1, and {node} .*: export it with a dynamic"
    ):
        load_classifier(path)


def test_rows_of_a_constant_that_differ_belong_to_images(tmp_path: Path) -> None:
    body = "z = Constant <value = float[2, 1] {1, 2}> () f = Flatten (images) a = MatMul (f, w)"
    path = saved(tmp_path / "m.onnx", f"{body} logits = Concat <axis = 1> (a, z)", logits="float[2,6]")
    with pytest.raises(ModelError, match=r"exported for batches of 2, and Concat \(output 'logits'\)"):
        load_classifier(path)


def test_operators_nothing_is_known_of_are_left_to_the_comparison_of_answers(tmp_path: Path) -> None:
    """An open height hides the shapes.

    Running the images alone and together shows the same fault.
    """
    body = "s = Constant <value_ints = [1, 12]> () x = Reshape (images, s) logits = MatMul (x, w)"
    path = saved(tmp_path / "m.onnx", body, images="float[1,h,4]", logits="float[1,5]")
    with pytest.raises(ModelError, match="one image works: export the model with a dynamic batch axis"):
        check_scores(load_classifier(path), np.ones((3, 3, 4), np.float32))
