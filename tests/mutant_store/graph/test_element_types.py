"""Files of half-precision numbers, and files that take uint8 pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mutant_guard.errors import ModelError
from mutant_guard.store.reader import load_store
from mutant_store.build import build
from mutant_store.graph.classifier import check_scores, load_classifier
from mutant_store.graph.element_types import half_types, widened
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.original import file_scores
from mutant_store.loading.input_spec import InputOptions
from tests.support.demo import SETTINGS, SilentReport, train_digits_model

Array = NDArray[np.float32]
BUILD = replace(SETTINGS, selection=replace(SETTINGS.selection, mutants=4))
rng = np.random.default_rng(0)
KERNEL = rng.standard_normal((5, 3, 3, 3)).astype(np.float32)
DENSE = rng.standard_normal((5, 4)).astype(np.float32)
PIXELS = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


def taking_pixels(path: Path, before: str) -> Path:
    """Write a classifier whose statements ``before`` make float32 ``y`` [N, 3, 8, 8] of uint8 ``x``."""
    text = (
        '<ir_version: 8, opset_import: ["": 17]> g (uint8[n,8,8,3] x) => (float[n,4] s) '
        "<int64[1] one = {1}, int64[3] bgr = {2, 1, 0}, uint8 dark = {9}, float scale = {127.5}> {"
        f"{before} c = Conv <pads = [1, 1, 1, 1]> (y, w) r = Relu (c) "
        "m = GlobalAveragePool (r) f = Flatten (m) s = Gemm (f, d) }"
    )
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(
        [numpy_helper.from_array(KERNEL, "w"), numpy_helper.from_array(DENSE, "d")]
    )
    onnx.save(model, path)
    return path


NORMALISED = "b = Div (a, scale) e = CastLike (one, b) q = Sub (b, e)"
CAST_FIRST = f"a = Cast <to = 1> (x) {NORMALISED} y = Transpose <perm = [0, 3, 1, 2]> (q)"
MOVED_FIRST = (
    "t = Transpose <perm = [0, 3, 1, 2]> (x) u = Gather <axis = 1> (t, bgr) "
    f"a = Cast <to = 1> (u) {NORMALISED} y = Identity (q)"
)
COMPUTED_FIRST = (
    f"z = Max (x, dark) a = Cast <to = 1> (z) {NORMALISED} y = Transpose <perm = [0, 3, 1, 2]> (q)"
)
BOTH = (
    "t = Transpose <perm = [0, 3, 1, 2]> (x) a = Cast <to = 1> (t) z = Cast <to = 6> (t) "
    "k = Cast <to = 1> (z) y = Mul (a, k)"
)


@pytest.mark.parametrize(
    ("before", "casts"), [(CAST_FIRST, 0), (MOVED_FIRST, 0), (COMPUTED_FIRST, 2), (BOTH, 3)]
)
def test_a_file_that_takes_pixels_answers_as_by_itself(before: str, casts: int, tmp_path: Path) -> None:
    path = taking_pixels(tmp_path / "m.onnx", before)
    classifier = load_classifier(path)
    assert classifier.raw_pixels
    assert classifier.notes == ("input 'x' takes uint8 pixels: nothing is normalised before it",)
    assert (classifier.input_name, classifier.input_shape) == ("x", (8, 8, 3))
    # a pixel comes out of its scaling a little beside its whole number
    inputs = (PIXELS.astype(np.float32) / np.float32(255)) / np.float32(1 / 255)
    assert (inputs != PIXELS).any()
    expected = onnxruntime.InferenceSession(path).run(None, {"x": PIXELS})[0]
    np.testing.assert_allclose(classifier.scores(inputs), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(file_scores(path, "s")(inputs), expected)
    check_scores(classifier, inputs)
    assert sum(node.op_type == "Cast" for node in classifier.model.graph.node) == casts
    assert len(find_layers(Graph(classifier.model))) == 2


def test_other_integers_are_refused(tmp_path: Path) -> None:
    model = onnx.load(taking_pixels(tmp_path / "m.onnx", CAST_FIRST))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(
        ModelError, match="input 'x' is INT32; export the model with a float32 or uint8 input"
    ):
        load_classifier(tmp_path / "m.onnx")


def digits_of_pixels(folder: Path) -> Path:
    """Write a trained classifier of the digits that takes uint8 [N, 8, 8, 1] and scales them itself."""
    model = onnx.load(train_digits_model(folder / "trained.onnx"))
    graph = model.graph
    source = graph.input[0].name
    card = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    assert "mutant_guard" in card
    graph.input[0].CopyFrom(helper.make_tensor_value_info("photo", TensorProto.UINT8, ["n", 8, 8, 1]))
    graph.initializer.append(numpy_helper.from_array(np.array(255, np.float32), "most"))
    nodes = [
        helper.make_node("Cast", ["photo"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["cast", "most"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], [source], perm=[0, 3, 1, 2]),
        *graph.node,
    ]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, folder / "pixels.onnx")
    return folder / "pixels.onnx"


def test_a_store_is_built_of_a_file_that_takes_pixels(tmp_path: Path) -> None:
    path, report = digits_of_pixels(tmp_path), SilentReport()
    store = build(path, "digits@holdout", tmp_path / "store", BUILD, report)
    spec = store.manifest.input
    assert (spec.layout, spec.mean, spec.std) == ("nhwc", [0.0], [1 / 255])
    assert store.manifest.original_accuracy > 0.9
    assert any(step.startswith("input 'photo' takes uint8 pixels") for step in report.steps)
    with pytest.raises(
        ModelError, match="takes uint8 pixels, before which nothing is normalised: leave out --mean"
    ):
        build(
            path, "digits@holdout", tmp_path / "other", replace(BUILD, input=InputOptions(mean=[0.5])), report
        )


def in_half(path: Path, target: Path, kind: int, *, ends: bool) -> Path:
    """Write a file's classifier in half precision; ``ends`` keeps input and output in float32."""
    model = onnx.load(path)
    graph = model.graph
    values = [entry.t for node in graph.node for entry in node.attribute if entry.type == entry.TENSOR]
    for tensor in (*graph.initializer, *values):
        if tensor.data_type == TensorProto.FLOAT:
            value = numpy_helper.to_array(tensor)
            tensor.CopyFrom(helper.make_tensor(tensor.name, kind, value.shape, value.ravel().tolist()))
    source, scores = graph.input[0].name, graph.output[0].name
    if ends:
        for node in graph.node:
            node.input[:] = ["narrow" if name == source else name for name in node.input]
            node.output[:] = ["narrow_scores" if name == scores else name for name in node.output]
        graph.node.insert(0, helper.make_node("Cast", [source], ["narrow"], to=kind))
        graph.node.append(helper.make_node("Cast", ["narrow_scores"], [scores], to=TensorProto.FLOAT))
    else:
        for entry in (graph.input[0], graph.output[0]):
            entry.type.tensor_type.elem_type = kind
    onnx.save(model, target)
    return target


@pytest.mark.parametrize("ends", [True, False])
def test_a_store_is_built_of_a_float16_file(ends: bool, tmp_path: Path) -> None:
    whole = train_digits_model(tmp_path / "m.onnx")
    path, report = in_half(whole, tmp_path / "half.onnx", TensorProto.FLOAT16, ends=ends), SilentReport()
    store = build(path, "digits@holdout", tmp_path / "store", BUILD, report)
    assert "float16 numbers of the file are converted to float32" in report.steps
    assert store.manifest.original_accuracy > 0.9
    assert load_store(tmp_path / "store").manifest.mutants == 4
    classifier = load_classifier(path)
    assert {tensor.data_type for tensor in classifier.model.graph.initializer} <= {
        TensorProto.FLOAT,
        TensorProto.INT64,
    }
    assert "Cast" not in {node.op_type for node in classifier.model.graph.node}
    for layer, other in zip(
        *(find_layers(Graph(load_classifier(p).model)) for p in (path, whole)), strict=True
    ):
        assert layer.uses == other.uses or layer.uses[0].bias == other.uses[0].bias


def test_bfloat16_is_converted_exactly(tmp_path: Path) -> None:
    whole = train_digits_model(tmp_path / "m.onnx")
    path = in_half(whole, tmp_path / "half.onnx", TensorProto.BFLOAT16, ends=True)
    assert half_types(onnx.load(path)) == ["bfloat16"]
    wide = {t.name: numpy_helper.to_array(t) for t in widened(onnx.load(path)).graph.initializer}
    for tensor in onnx.load(path).graph.initializer:
        assert np.array_equal(
            wide[tensor.name], numpy_helper.to_array(tensor).astype(wide[tensor.name].dtype)
        )
    report = SilentReport()
    assert build(path, "digits@holdout", tmp_path / "store", BUILD, report).manifest.original_accuracy > 0.9
    assert any(step.startswith("bfloat16 numbers of the file are converted") for step in report.steps)


def test_a_half_precision_file_that_answers_otherwise_is_refused(tmp_path: Path) -> None:
    """Sums beyond 65,504 are infinite in float16 alone. Its numbers are written as bits: 200 and 1."""
    text = (
        '<ir_version: 8, opset_import: ["": 17]> g (float16[n,4] x) => (float16[n,2] s) '
        "<float16[4,2] w = {23104, 15360, 23104, 15360, 23104, 15360, 23104, 15360}> "
        "{ m = Mul (x, x) s = MatMul (m, w) }"
    )
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    scores = file_scores(tmp_path / "m.onnx", "s")
    assert scores(np.ones((2, 4), np.float32)).tolist() == [[800, 4]] * 2
    with pytest.raises(ModelError, match="converted from half precision to float32 it gives other scores"):
        scores(np.full((2, 4), 20, np.float32))


def test_a_branch_and_constants_of_nodes_are_converted() -> None:
    """The bits are those of 1 and 2, and of 3 and 4."""
    text = (
        '<ir_version: 8, opset_import: ["": 17]> g (float16[n,2] x, bool b) => (float16[n,2] y) {'
        " y = If (b) <then_branch = t () => (float16[n,2] z) <float16[2] w = {15360, 16384}> { z = Mul (x, w) },"
        " else_branch = e () => (float16[n,2] v) "
        "{ c = Constant <value = float16[2] {16896, 17408}> () v = Add (x, c) }> }"
    )
    wide = widened(onnx.parser.parse_model(text))
    assert half_types(wide) == []
    onnx.checker.check_model(wide, full_check=True)
    session = onnxruntime.InferenceSession(wide.SerializeToString())
    x = np.ones((1, 2), np.float32)
    assert session.run(None, {"x": x, "b": np.array(True)})[0].tolist() == [[1, 2]]
    assert session.run(None, {"x": x, "b": np.array(False)})[0].tolist() == [[4, 5]]
