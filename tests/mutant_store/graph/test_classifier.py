from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mutant_guard.errors import ModelError
from mutant_store.graph.classifier import check_scores, load_classifier
from tests.support.demo import perceptron

WEIGHTS = [(np.ones((4, 3), np.float32), np.zeros(3, np.float32))]


def saved(
    path: Path, nodes: list[onnx.NodeProto], outputs: dict[str, tuple[int, list[str | int]]], **inputs: int
) -> Path:
    constants = [numpy_helper.from_array(np.eye(4, 3, dtype=np.float32), "w")]
    sources = [helper.make_tensor_value_info(name, kind, ["n", 4]) for name, kind in inputs.items()]
    targets = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()]
    graph = helper.make_graph(nodes, "g", sources, targets, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


DENSE = helper.make_node("MatMul", ["x", "w"], ["y"])
FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("not a model")
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        load_classifier(tmp_path / "m.onnx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx: no such file; export your classifier"):
        load_classifier(tmp_path / "gone.onnx")


@pytest.mark.parametrize(
    ("nodes", "outputs", "inputs", "message"),
    [
        ([DENSE], {"y": (FLOAT, ["n", 3])}, {"x": FLOAT, "z": FLOAT}, "one input, this model has 2: x, z"),
        ([helper.make_node("Shape", ["x"], ["y"])], {"y": (INT, [2])}, {"x": FLOAT}, "this is no classifier"),
        (
            [helper.make_node("Identity", ["x"], ["y"])],
            {"y": (INT, ["n", 4])},
            {"x": INT},
            "'x' is INT64; export",
        ),
        (
            [DENSE, helper.make_node("Relu", ["y"], ["z"])],
            {"y": (FLOAT, ["n", 3]), "z": (FLOAT, ["n", 3])},
            {"x": FLOAT},
            r"several outputs could be the class scores \(outputs: 'y', 'z'\); name it with --output",
        ),
    ],
)
def test_models_that_are_no_classifier_are_refused(
    tmp_path: Path,
    nodes: list[onnx.NodeProto],
    outputs: dict[str, tuple[int, list[str | int]]],
    inputs: dict[str, int],
    message: str,
) -> None:
    path = saved(tmp_path / "m.onnx", nodes, outputs, **inputs)
    with pytest.raises(ModelError, match=message):
        load_classifier(path)


def test_the_output_can_be_named(tmp_path: Path) -> None:
    nodes = [DENSE, helper.make_node("Softmax", ["y"], ["z"], axis=1)]
    path = saved(tmp_path / "m.onnx", nodes, {"y": (FLOAT, ["n", 3]), "z": (FLOAT, ["n", 3])}, x=FLOAT)
    assert load_classifier(path, output="y").output_kind == "logits"
    assert load_classifier(path, output="z").output_kind == "probabilities"
    with pytest.raises(ModelError, match="no output 'q'; its outputs are 'y', 'z'"):
        load_classifier(path, output="q")


def test_an_output_of_another_shape_is_no_classifier(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "m.onnx",
        [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)],
        {"y": (FLOAT, [])},
        x=FLOAT,
    )
    with pytest.raises(ModelError, match="this is no classifier"):
        check_scores(load_classifier(path), np.ones((3, 4), np.float32))


def test_rows_that_influence_each_other_are_refused(tmp_path: Path) -> None:
    nodes = [DENSE, helper.make_node("Softmax", ["y"], ["z"], axis=0)]
    path = saved(tmp_path / "m.onnx", nodes, {"z": (FLOAT, ["n", 3])}, x=FLOAT)
    inputs = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    with pytest.raises(ModelError, match="depends on the other images of its batch"):
        check_scores(load_classifier(path, output_kind="logits"), inputs)


def test_probabilities_that_are_none_are_refused(tmp_path: Path) -> None:
    onnx.save(perceptron(WEIGHTS, (1, 2, 2)), tmp_path / "m.onnx")
    classifier = load_classifier(tmp_path / "m.onnx", output_kind="probabilities")
    with pytest.raises(ModelError, match="use --output-kind logits"):
        check_scores(classifier, np.ones((3, 1, 2, 2), np.float32))


def test_scores_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    onnx.save(perceptron(WEIGHTS, (1, 2, 2)), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="not finite"):
        check_scores(load_classifier(tmp_path / "m.onnx"), np.full((3, 1, 2, 2), np.inf, np.float32))


def test_a_fixed_batch_size_is_opened(tmp_path: Path) -> None:
    model = perceptron(WEIGHTS, (1, 2, 2))
    for entry in (*model.graph.input, *model.graph.output):
        entry.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "m.onnx")
    assert check_scores(load_classifier(tmp_path / "m.onnx"), np.ones((3, 1, 2, 2), np.float32)).shape == (
        3,
        3,
    )


def test_names_are_the_users_and_inner_names_do_not_clash(tmp_path: Path) -> None:
    model = perceptron(WEIGHTS, (1, 2, 2))
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["images" if name == "x0" else name for name in names]
    onnx.save(model, tmp_path / "m.onnx")
    classifier = load_classifier(tmp_path / "m.onnx")
    assert (classifier.input_name, classifier.output_name) == ("pixels", "scores")
    assert check_scores(classifier, np.ones((2, 1, 2, 2), np.float32)).shape == (2, 3)


def test_damaged_metadata_is_said(tmp_path: Path) -> None:
    model = perceptron(WEIGHTS, (1, 2, 2))
    helper.set_model_props(model, {"mutant_guard": "{broken"})
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="metadata entry 'mutant_guard' is damaged"):
        load_classifier(tmp_path / "m.onnx")
