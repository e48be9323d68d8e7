"""ONNX files of the registered classifiers."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mutant_guard.errors import ModelError
from mutant_guard.store import model_card
from mutant_guard.store.model_card import ModelCard
from mutant_store.networks import CLASSIFIERS
from mutant_store.networks.onnx_export import largest_difference, to_onnx

pytestmark = pytest.mark.slow

CARD = ModelCard(mean=[0.5], std=[0.25], layout="nchw", classes=["a", "b", "c"])


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_is_exported_whole_and_clean(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    height, width, channels = CLASSIFIERS[name].shape
    model = CLASSIFIERS[name].build(3)
    images = np.random.default_rng(0).standard_normal((5, channels, height, width), dtype=np.float32)
    content = to_onnx(model, CARD, images)
    assert capfd.readouterr() == ("", "")
    assert largest_difference(content, model, images) < 1e-4

    proto = onnx.load_from_string(content)
    assert [value.name for value in proto.graph.input] == ["images"]
    assert [value.name for value in proto.graph.output] == ["logits"]
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param
    assert {entry.key: entry.value for entry in proto.metadata_props} == {
        model_card.KEY: CARD.model_dump_json(exclude_none=True)
    }
    # Batch normalisation is folded. The operators that are left can be mutated.
    kinds = {node.op_type for node in proto.graph.node}
    assert kinds <= {
        "Conv",
        "Relu",
        "MaxPool",
        "Reshape",
        "Flatten",
        "Gemm",
        "Add",
        "Concat",
        "ReduceMean",
        "GlobalAveragePool",
    }


def test_nothing_about_the_machine_is_left(tiny_model: Path) -> None:
    content = tiny_model.read_bytes()
    for trace in (b"stack_trace", b".py", b"/home", b"site-packages", b"namespace", str(Path.cwd()).encode()):
        assert trace not in content
    proto = onnx.load(tiny_model)
    assert not any(node.metadata_props or node.doc_string for node in proto.graph.node)
    assert not any(tensor.external_data for tensor in proto.graph.initializer)


def test_a_model_that_differs_is_refused() -> None:
    images = np.random.default_rng(0).standard_normal((2, 1, 8, 8), dtype=np.float32)
    model = CLASSIFIERS["digits-net"].build(3)
    content = to_onnx(model, CARD, images)
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    with pytest.raises(ModelError, match="differ from torch's by"):
        largest_difference(content, model, images)
