"""A small real classifier and its store: scikit-learn's perceptron on the bundled digits, written as ONNX by hand."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.neural_network import MLPClassifier

from mutant_guard.store import model_card
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_guard.store.model_card import ModelCard
from mutant_guard.store.reader import Store
from mutant_store.build import BuildSettings, build
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.datasets import load
from mutant_store.loading.input_spec import InputOptions
from mutant_store.pool.selection import SelectionSettings

SETTINGS = BuildSettings(
    operator="nai",
    selection=SelectionSettings(rate=0.05, mutants=60, seed=0, accuracy_ratio=0.9),
    input=InputOptions(),
    calibration=CalibrationSettings(),
)


class SilentReport:
    """A reporter that remembers what it was told and may act on progress."""

    def __init__(self, on_progress: Callable[[int], None] = lambda done: None) -> None:
        self.steps: list[str] = []
        self.calls: list[tuple[int, int]] = []
        self._on_progress = on_progress

    def step(self, text: str) -> None:
        self.steps.append(text)

    def progress(self, done: int, total: int, note: str) -> None:
        self.calls.append((done, total))
        self._on_progress(done)


def train_digits_model(path: Path, *, spec: str = "digits@train", softmax: bool = False) -> Path:
    """Train a perceptron of 64-32-10 on a SPEC of digits and write it as ONNX [batch, 1, 8, 8] → [batch, 10]."""
    data = load(spec)
    inputs = data.images.reshape(len(data), -1).astype(np.float32) / 255
    model = MLPClassifier((32,), random_state=0, max_iter=60, tol=0.01).fit(inputs, data.labels)
    weights = [
        (w.astype(np.float32), b.astype(np.float32))
        for w, b in zip(model.coefs_, model.intercepts_, strict=True)
    ]
    card = ModelCard(
        train_data=data.range, mean=[0.0], std=[1.0], layout="nchw", classes=list(data.class_names)
    )
    onnx.save(perceptron(weights, (1, 8, 8), card=card, softmax=softmax), path)
    return path


def train_standardising_model(path: Path) -> Path:
    """Train a perceptron on digits, each standardised by its own mean and deviation, and write it as ONNX.

    The standardisation is part of the graph. It is 0/0 on an image of one colour.
    """
    data = load("digits@train")
    rows = data.images.reshape(len(data), -1).astype(np.float32) / 255
    rows = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    trained = MLPClassifier((32,), random_state=0, max_iter=60, tol=0.01).fit(rows, data.labels)
    weights = [
        (w.astype(np.float32), b.astype(np.float32))
        for w, b in zip(trained.coefs_, trained.intercepts_, strict=True)
    ]
    model = perceptron(weights, (1, 8, 8), card=ModelCard(train_data=data.range))
    model.graph.node[0].output[0] = "flat"
    standardised = [
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1]),
        helper.make_node("Sub", ["flat", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "centred"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["variance"], axes=[1]),
        helper.make_node("Sqrt", ["variance"], ["deviation"]),
        helper.make_node("Div", ["centred", "deviation"], ["x0"]),
    ]
    for place, node in enumerate(standardised, 1):
        model.graph.node.insert(place, node)
    onnx.save(model, path)
    return path


def train_wide_model(path: Path) -> Path:
    """Train another perceptron on digits of 12×12 pixels, with the classes in another order, and write it as ONNX.

    It takes pixels of 0 to 1 normalised by 0.5, in rows of H·W values, and gives probabilities.
    """
    data = load("digits@train", shape=(12, 12, 1), resize="bilinear")
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    labels = np.argsort(order)[data.labels]
    inputs = (data.images.reshape(len(data), -1).astype(np.float32) / 255 - 0.5) / 0.5
    trained = MLPClassifier((48,), random_state=1, max_iter=60, tol=0.01).fit(inputs, labels)
    weights = [
        (w.astype(np.float32), b.astype(np.float32))
        for w, b in zip(trained.coefs_, trained.intercepts_, strict=True)
    ]
    names = [f"{data.class_names[label]}" for label in order]
    card = ModelCard(train_data=data.range, mean=[0.5], std=[0.5], layout="flat", classes=names)
    onnx.save(perceptron(weights, (144,), card=card, softmax=True), path)
    return path


def build_companion_store(model: Path, wide: Path, other: Path, out: Path, **changes: object) -> Store:
    """Build a store of a digits model whose mutants are two other perceptrons."""
    from mutant_store.loading.companions import CompanionSource
    from mutant_store.loading.model_source import ModelSource

    companions = (
        CompanionSource(ModelSource(str(wide)), InputOptions(size=(12, 12))),
        CompanionSource(ModelSource(str(other)), InputOptions()),
    )
    chosen = {"operator": "companion", "accuracy_ratio": 0.8, "companions": companions} | changes
    return build_digits_store(model, out, **chosen)  # type: ignore[arg-type]


def build_robust_companion_store(model: Path, wide: Path, other: Path, out: Path) -> Store:
    """Build a store of two companions, a robust mutant that started from the wide one, and two by nai."""
    from mutant_store.retraining.settings import RetrainSettings
    from mutant_store.robust.settings import RobustSettings

    return build_companion_store(
        model,
        wide,
        other,
        out,
        operator="mixed:companion,robust,nai",
        mutants=2,
        robust=RobustSettings(
            architecture=f"companion:{wide.name}", epsilon=0.1, steps=2, epochs=2, batch_size=32
        ),
        retraining=RetrainSettings(train_data="digits@train"),
    )


def perceptron(
    weights: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
    shape: tuple[int, ...],
    *,
    card: ModelCard | None = None,
    softmax: bool = False,
) -> onnx.ModelProto:
    """Dense layers with ReLU between them, weights [inputs, outputs], on flattened images."""
    nodes = [helper.make_node("Flatten", ["pixels"], ["x0"])]
    constants = []
    for i, (weight, bias) in enumerate(weights):
        constants += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        last = i == len(weights) - 1
        nodes.append(
            helper.make_node(
                "Gemm", [f"x{i}", f"w{i}", f"b{i}"], ["scores" if last else f"y{i}"], f"dense{i}"
            )
        )
        if not last:
            nodes.append(helper.make_node("Relu", [f"y{i}"], [f"x{i + 1}"]))
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
    source = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", *shape])
    name = "probabilities" if softmax else "scores"
    target = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", weights[-1][0].shape[1]])
    graph = helper.make_graph(nodes, "perceptron", [source], [target], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if card is not None:
        helper.set_model_props(model, {model_card.KEY: card.model_dump_json()})
    return model


def build_digits_store(
    model: Path,
    out: Path,
    *,
    report: SilentReport | None = None,
    cluster: RayCluster | None = None,
    **changes: object,
) -> Store:
    """Build a store of 60 NAI mutants from the digits' holdout, with any setting of build or selection changed."""
    names = {field.name for field in fields(SelectionSettings)}
    selection = replace(SETTINGS.selection, **{name: changes.pop(name) for name in names & changes.keys()})  # type: ignore[arg-type]
    settings = replace(SETTINGS, selection=selection, **changes)  # type: ignore[arg-type]
    return build(model, "digits@holdout", out, settings, report or SilentReport(), cluster=cluster)


def build_retrained_store(
    model: Path, out: Path, *, report: SilentReport | None = None, **changes: object
) -> Store:
    """Build a store of 4 mutants of a digits model, retrained on the digits' training images, which give doubts."""
    from mutant_store.retraining.settings import RetrainSettings

    chosen = {"operator": "retrain", "mutants": 4, "rate": 0.5, "accuracy_ratio": 0.8} | changes
    retraining = RetrainSettings(train_data="digits@train", share=0.5, epochs=4)
    return build_digits_store(model, out, report=report, retraining=retraining, **chosen)  # type: ignore[arg-type]
