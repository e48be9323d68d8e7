"""Graphs converted to torch networks and back: same answers, trainable in every layer."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper

from mutant_guard.errors import ModelError
from mutant_guard.store.choices import Layout
from mutant_store.graph.classifier import Classifier, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.networks.conversion import ConvertedNetwork, converted
from tests.support.demo import train_digits_model

MODELS = Path(__file__).parents[3] / "models"


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def round_trip(classifier: Classifier, layout: Layout, images: NDArray[np.float32]) -> None:
    """Change every parameter, and compare the graph with this vector to the network."""
    network, made = converted(classifier, layout, images)
    assert isinstance(network, ConvertedNetwork)
    graph = Graph(classifier.model)
    parameters = Parameters(graph, find_layers(graph))
    assert np.array_equal(network.values, parameters.values)
    assert np.array_equal(network.values, made.build().values)  # type: ignore[arg-type]
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.05 * torch.from_numpy(noise(*value.shape)))
        parameters.write(graph, network.values)
        inputs = torch.from_numpy(images)
        mutant = onnx.ModelProto.FromString(graph.to_model().SerializeToString())
        expected = Classifier(mutant, "images", (), "logits", classifier.output_kind, classifier.card).scores(
            network.laid_out(inputs).numpy()
        )
        assert np.allclose(network(inputs).numpy(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "shape"), [("mnist-lenet", (1, 28, 28)), ("cifar10-resnet20", (3, 32, 32))])
def test_committed_models(name: str, shape: tuple[int, ...]) -> None:
    round_trip(load_classifier(MODELS / f"{name}.onnx"), "nchw", noise(4, *shape))


def test_weights_with_neurons_in_the_second_axis(tmp_path: Path) -> None:
    round_trip(load_classifier(train_digits_model(tmp_path / "m.onnx")), "nchw", noise(4, 1, 8, 8))


@pytest.mark.parametrize("layout", ["flat", "nhwc"])
def test_other_layouts(layout: Layout, tmp_path: Path) -> None:
    path = train_digits_model(tmp_path / "m.onnx")
    model = onnx.load(path)
    shape = {"flat": [64], "nhwc": [8, 8, 1]}[layout]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    del dims[1:]
    for size in shape:
        dims.add().dim_value = size
    onnx.save(model, path)
    round_trip(load_classifier(path), layout, noise(4, 1, 8, 8))


def with_node_behind(path: Path, *nodes: onnx.NodeProto) -> Path:
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "inner"
    model.graph.node.extend(nodes)
    onnx.save(model, path)
    return path


def test_what_gives_no_gradient_is_refused(tmp_path: Path) -> None:
    path = train_digits_model(tmp_path / "m.onnx")
    classifier = load_classifier(with_node_behind(path, helper.make_node("Sign", ["inner"], ["scores"])))
    with pytest.raises(
        ModelError, match=r"converted to torch.*give the network itself: a \.safetensors file"
    ):
        converted(classifier, "nchw", noise(4, 1, 8, 8))


def test_another_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load_classifier(train_digits_model(tmp_path / "m.onnx"))
    forward = ConvertedNetwork.forward
    monkeypatch.setattr(ConvertedNetwork, "forward", lambda *inputs: 1.1 * forward(*inputs))
    with pytest.raises(ModelError, match=r"gives other scores: they differ by .*; to train mutants"):
        converted(classifier, "nchw", noise(4, 1, 8, 8))
