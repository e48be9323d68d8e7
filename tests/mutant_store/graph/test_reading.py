"""ONNX files that cannot be read."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from mutant_guard.errors import ModelError
from mutant_store.graph.classifier import load_classifier
from mutant_store.graph.reading import read_model
from tests.support.demo import perceptron

WEIGHTS = [(np.ones((64, 40), np.float32), np.zeros(40, np.float32))]


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """Return a file whose weights lie beside it."""
    path = tmp_path / "m.onnx"
    onnx.save(
        perceptron(WEIGHTS, (1, 8, 8)),
        path,
        save_as_external_data=True,
        location="weights.data",
        size_threshold=0,
    )
    assert len(load_classifier(path).scores(np.ones((2, 1, 8, 8), np.float32))) == 2
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            r"weights\.data, which holds weights of the model, is not there; put it beside the model",
        ),
        (b"x" * 100, r"weights\.data is cut short: it has 100 bytes and the model reads up to"),
        (b"version https://git-lfs.github.com/spec/v1\noid", r"weights\.data is a Git LFS pointer"),
    ],
)
def test_weights_that_are_not_there_whole_are_named(
    content: bytes | None, message: str, beside: Path
) -> None:
    weights = beside.parent / "weights.data"
    weights.unlink()
    if content is not None:
        weights.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_model(beside)


@pytest.mark.parametrize("location", ["../weights.data", "/etc/passwd", ""])
def test_weights_elsewhere_are_not_read(location: str, beside: Path) -> None:
    model = onnx.load(beside, load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = location
    beside.write_bytes(model.SerializeToString())
    (beside.parent.parent / "weights.data").write_bytes((beside.parent / "weights.data").read_bytes())
    with pytest.raises(ModelError, match=r"lies outside the model's folder|is not there"):
        read_model(beside)


def test_a_pointer_a_folder_and_what_is_no_model_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "pointer.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "other.onnx").write_bytes(b"\xff" * 40)
    (tmp_path / "empty.onnx").write_bytes(b"")
    for name, message in (
        ("pointer.onnx", "is a Git LFS pointer and not the file itself; run git lfs pull"),
        ("", "no file; give the ONNX file itself"),
        ("other.onnx", r"not a readable ONNX file \(.*\); export it again"),
        ("empty.onnx", r"not a readable ONNX file \(.*\); export it again"),
    ):
        with pytest.raises(ModelError, match=message):
            read_model(tmp_path / name)


def saved(path: Path, body: str, ends: str = "float[n,4] x) => (float[n,4] y") -> Path:
    onnx.save(parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> g ({ends}) {{ {body} }}'), path)
    return path


@pytest.mark.parametrize(
    "name", ["images", "logits", "image_index", "mutant_index", "features_0", "entry_1_both"]
)
@pytest.mark.parametrize("ends", [("{}", "y"), ("x", "{}"), ("x", "y")])
def test_tensors_may_have_the_names_that_a_bank_gives(
    name: str, ends: tuple[str, str], tmp_path: Path
) -> None:
    source, result = (end.format(name) for end in ends)
    inner = "inner" if "{}" in "".join(ends) else name
    body = f"{inner} = Relu ({source}) {result} = Neg ({inner})"
    path = saved(tmp_path / "m.onnx", body, f"float[n,4] {source}) => (float[n,4] {result}")
    classifier = load_classifier(path)
    inputs = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    np.testing.assert_array_equal(classifier.scores(inputs), -np.maximum(inputs, 0))
    assert (classifier.input_name, classifier.output_name) == (source, result)
    inside = {output for node in classifier.model.graph.node for output in node.output}
    assert not inside & {"image_index", "mutant_index", "features_0", "entry_1_both"}


def test_a_weight_whose_bytes_do_not_fill_it_is_one_line(tmp_path: Path) -> None:
    model = perceptron(WEIGHTS, (1, 8, 8))
    model.graph.initializer[0].raw_data = b"123"
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"m\.onnx: .*\(.+\); export it again") as refused:
        load_classifier(tmp_path / "m.onnx")
    assert "\n" not in str(refused.value)


def test_a_model_that_asks_for_terabytes_is_refused_before_it_gets_them(tmp_path: Path) -> None:
    model = perceptron(WEIGHTS, (1, 8, 8))
    model.graph.initializer.append(numpy_helper.from_array(np.array([10**6, 10**6]), "huge"))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["huge"], ["zeros"]))
    model.graph.node.insert(1, helper.make_node("ReduceSum", ["zeros"], ["sum"]))
    model.graph.node[-1].input[2] = "sum"
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="ConstantOfShape would make a constant of 1,000,000,000,000 values"):
        load_classifier(tmp_path / "m.onnx")


def test_two_operator_sets_an_absurd_batch_and_an_absurd_size_are_refused(tmp_path: Path) -> None:
    model = perceptron(WEIGHTS, (1, 8, 8))
    model.opset_import.add(domain="", version=9)
    onnx.save(model, tmp_path / "sets.onnx")
    model = perceptron(WEIGHTS, (1, 8, 8))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1 << 40
    onnx.save(model, tmp_path / "batch.onnx")
    for name, message in (
        ("sets", r"names 2 operator sets, \[9, 17\]; export it with one"),
        ("batch", r"takes batches of 1099511627776 images; export it with a dynamic batch axis"),
    ):
        with pytest.raises(ModelError, match=message):
            load_classifier(tmp_path / f"{name}.onnx")


def test_nodes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    model = perceptron([*WEIGHTS, (np.ones((40, 3), np.float32), np.zeros(3, np.float32))], (1, 8, 8))
    for node in model.graph.node:
        node.name = "same"
    onnx.save(model, tmp_path / "m.onnx")
    nodes = load_classifier(tmp_path / "m.onnx").model.graph.node
    assert len({node.name for node in nodes}) == len(nodes)
    assert nodes[0].name == "same"
