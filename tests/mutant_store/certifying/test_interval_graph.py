"""Bounds of a network's doubts, against what the network itself says within the box."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mutant_guard.bank.session import open_session
from mutant_guard.errors import ModelError
from mutant_store.certifying.interval_graph import interval_graph
from mutant_store.certifying.intervals import slack

Floats = NDArray[np.float32]
rng = np.random.default_rng(7)
IMAGE = (2, 6, 6)


def normal(*shape: int, scale: float = 0.4) -> Floats:
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


CONSTANTS: dict[str, NDArray[Any]] = {
    "conv": normal(4, 2, 3, 3),
    "conv_bias": normal(4),
    "depthwise": normal(4, 1, 3, 3),
    "channel": normal(4, 1, 1),
    "divisor": np.array([0.5, -2, 4, -1], np.float32).reshape(4, 1, 1),
    "slopes": np.array([0.1, 0, 1, 2], np.float32).reshape(4, 1, 1),
    **{name: normal(4) for name in ("shift", "mean")},
    "scale": np.array([1, -0.5, 2, -1], np.float32),
    "variance": np.array([0.5, 1, 2, 0.1], np.float32),
    "low": np.array(-0.3, np.float32),
    "high": np.array(0.6, np.float32),
    "pads": ints(0, 0, 1, 1, 0, 0, 1, 0),
    "two": np.array(2, np.float32),
    "matrix": normal(6, 5),
    "rows": normal(3, 6),
    "flat": ints(0, -1),
    "wide": normal(72, 400),
    "axes": ints(2, 3),
    "first": ints(0),
    "last": ints(3),
    "one": ints(1),
}


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


def network(
    middle: list[NodeProto],
    shape: tuple[int, ...] = (4, 4, 4),
    classes: int = 3,
    tail: list[NodeProto] | None = None,
) -> ModelProto:
    """Return images [batch, 2, 6, 6] → convolution "c" → ``middle`` "y" of a shape → dense layer."""
    width = int(np.prod(shape))
    dense = np.random.default_rng(width)
    constants = CONSTANTS | {
        "dense": (dense.standard_normal((classes, width)) * 2 / np.sqrt(width)).astype(np.float32),
        "dense_bias": (0.3 * dense.standard_normal(classes)).astype(np.float32),
    }
    ends = tail or [
        node("Reshape", "y flat", "f"),
        node("Gemm", "f dense dense_bias", "logits", transB=1),
    ]
    graph = helper.make_graph(
        [node("Conv", "images conv conv_bias", "c"), *middle, *ends],
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", *IMAGE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def runner(model: ModelProto) -> Callable[[dict[str, Floats]], Floats]:
    session = open_session(model.SerializeToString(), threads=1)
    return lambda feed: np.asarray(session.run(None, feed)[0])


def doubts_of(logits: Floats, temperature: float) -> NDArray[np.float64]:
    powers = np.exp((logits.astype(np.float64) - logits.max(axis=1, keepdims=True)) / temperature)
    total = powers.sum(axis=1, keepdims=True)
    return np.asarray((total - powers) / total)


def least(
    run: Callable[[dict[str, Floats]], Floats], low: Floats, high: Floats, temperature: float
) -> Floats:
    return run({"lower": low, "upper": high, "temperature": np.array([temperature], np.float32)})


def points(low: Floats, high: Floats, count: int, seed: int) -> Floats:
    """Return images in one box [1, …]: corners, faces and inner ones."""
    draw = np.random.default_rng(seed)
    share = draw.uniform(-0.5, 1.5, (count, *low.shape[1:])).clip(0, 1)
    share[: count // 3] = share[: count // 3].round()
    return np.asarray(np.clip((low + share * (high - low)).astype(np.float32), low, high))


def by_operator() -> dict[str, ModelProto]:
    """Return a network around each operator that has a rule."""
    found = {
        name: network([node(name, "c", "y")])
        for name in ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Erf", "Neg", "Identity", "Dropout")
    }
    found |= {
        name: network([node(name, "c", "y", alpha=alpha)])
        for name, alpha in (("LeakyRelu", 0.2), ("Elu", 1.5), ("HardSigmoid", 0.4), ("Celu", 0.7))
    }
    pooled = {"kernel_shape": [2, 2], "strides": [2, 2]}
    several = {
        "Selu": [node("Selu", "c", "y", gamma=1.3)],
        "Clip": [node("Clip", "c low high", "y")],
        "PRelu": [node("PRelu", "c slopes", "y")],
        "Add": [node("Add", "c channel", "y")],
        "Sub": [node("Sub", "channel c", "y")],
        "Mul": [node("Mul", "channel c", "y")],
        "Div": [node("Div", "c divisor", "y")],
        "residual": [node("Relu", "c", "r"), node("Sub", "c r", "y")],
        "pre-activation": [
            node("Relu", "c", "r"),
            node("BatchNormalization", "r scale shift mean variance", "y", epsilon=0.01),
        ],
        "grouped": [node("Conv", "c depthwise", "y", group=4, pads=[1, 1, 1, 1])],
        "Transpose": [node("Transpose", "c", "y", perm=[0, 2, 3, 1])],
        "dynamic": [node("Shape", "c", "s"), node("Reshape", "c s", "y")],
        "Max": [node("Neg", "c", "n"), node("Max", "c n", "y")],
        "Min": [node("Min", "c two", "y")],
    }
    found |= {name: network(middle) for name, middle in several.items()}
    found["MaxPool"] = network([node("MaxPool", "c", "y", **pooled)], (4, 2, 2))
    found["AveragePool"] = network([node("AveragePool", "c", "y", pads=[1, 1, 1, 1], **pooled)], (4, 3, 3))
    found["GlobalAveragePool"] = network([node("GlobalAveragePool", "c", "y")], (4, 1, 1))
    found["GlobalMaxPool"] = network([node("GlobalMaxPool", "c", "y")], (4, 1, 1))
    found["ReduceMean"] = network([node("ReduceMean", "c", "y", axes=[2, 3])], (4,))
    found["ReduceMax"] = network([node("ReduceMax", "c", "y", axes=[2, 3])], (4,))
    found["ReduceSum"] = network([node("ReduceSum", "c axes", "y")], (4,))
    found["Pad"] = network([node("Pad", "c pads two", "y")], (4, 6, 5))
    found["Concat"] = network([node("Relu", "c", "r"), node("Concat", "c r", "y", axis=1)], (8, 4, 4))
    found["Slice"] = network([node("Slice", "c first last one", "y")], (3, 4, 4))
    found["Squeeze"] = network([node("Unsqueeze", "c one", "u"), node("Squeeze", "u one", "y")])
    found["Gather"] = network([node("Gather", "c one", "y", axis=1)], (1, 4, 4))
    found["Flatten"] = network([node("Flatten", "c", "y")], (64,))
    padded = [node("Pad", "c pads", "p"), node("Transpose", "p", "t", perm=[0, 1, 3, 2])]
    found["MatMul"] = network([*padded, node("MatMul", "t matrix", "y")], (4, 5, 5))
    found["left MatMul"] = network([padded[0], node("MatMul", "rows p", "y")], (4, 3, 5))
    dense = [
        node("Flatten", "c", "f"),
        node("MatMul", "f dense_t", "m"),
        node("Add", "m dense_bias", "logits"),
    ]
    found["last MatMul"] = network([node("Transpose", "dense", "dense_t")], (64,), tail=dense)
    scaled = [
        node("Flatten", "c", "f"),
        node("Gemm", "f dense dense_bias", "g", transB=1),
        node("Mul", "g two", "logits"),
    ]
    found["last Mul"] = network([], (64,), tail=scaled)
    wide = [node("Flatten", "images", "v"), node("MatMul", "v wide", "w"), node("Relu", "w", "y")]
    found["wide"] = network(wide, (400,))
    shares = [node("Flatten", "c", "f"), node("Gemm", "f dense dense_bias", "g", transB=1)]
    found["Softmax"] = network([], (64,), tail=[*shares, node("Softmax", "g", "logits")])
    found["many classes"] = network([node("Relu", "c", "y")], classes=70)
    return found


NETWORKS = by_operator()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_no_image_of_a_box_has_less_doubt_than_the_bound(name: str, temperature: float) -> None:
    model = NETWORKS[name]
    scores, bounds = runner(model), runner(interval_graph(model))
    for seed, radius in enumerate((0.0, 0.02, 0.3)):
        image = np.random.default_rng(seed).uniform(-1, 1, (1, *IMAGE)).astype(np.float32)
        low, high = image - np.float32(radius), image + np.float32(radius)
        bound = least(bounds, low, high, temperature)
        answers = scores({"images": points(low, high, 150, seed)})
        found = doubts_of(np.log(answers) if name == "Softmax" else answers, temperature)
        assert (bound <= found).all()
        assert (bound[0] >= 0).all()
        if not radius:  # a box of one image loses what rounding may, and no more
            np.testing.assert_allclose(bound[0], found[0], atol=2e-3)


def dense_alone(classes: int = 2) -> tuple[ModelProto, Floats]:
    """Return a network of one dense layer, and its weights [classes, 72]."""
    ends = [node("Flatten", "images", "f"), node("Gemm", "f dense dense_bias", "logits", transB=1)]
    model = network([], (72,), classes, ends)
    return model, next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "dense")


def test_the_bound_of_a_dense_layer_is_reached_in_two_corners() -> None:
    model, weight = dense_alone()
    image, radius = np.zeros((1, *IMAGE), np.float32), np.float32(0.1)
    away = np.sign(weight[1] - weight[0]).reshape(1, *IMAGE) * radius
    reached = doubts_of(runner(model)({"images": np.concatenate([away, -away])}), 1.0).min(axis=0)
    found = least(runner(interval_graph(model)), image - radius, image + radius, 1.0)[0]
    assert (found <= reached).all()
    np.testing.assert_allclose(found, reached, atol=5e-5)


def test_the_bound_is_the_one_of_float64_less_the_slack() -> None:
    """Of a network with intervals that are summed and rectified, done again with NumPy."""
    model = NETWORKS["wide"]
    weights = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in model.graph.initializer}
    image = rng.uniform(-1, 1, (20, *IMAGE)).astype(np.float32)
    low, high = image - np.float32(0.05), image + np.float32(0.05)
    middle, radius = ((high.astype(np.float64) + sign * low).reshape(20, -1) / 2 for sign in (1, -1))
    middle, radius = middle @ weights["wide"], radius @ np.abs(weights["wide"])
    ends = np.maximum(middle - radius, 0), np.maximum(middle + radius, 0)
    middle, radius = (ends[1] + ends[0]) / 2, (ends[1] - ends[0]) / 2
    apart = weights["dense"][None] - weights["dense"][:, None]
    lower = np.einsum("tjh,nh->ntj", apart, middle) - np.einsum("tjh,nh->ntj", np.abs(apart), radius)
    lower += weights["dense_bias"][None] - weights["dense_bias"][:, None]
    exact = 1 - 1 / np.exp(lower / 2).sum(axis=2)  # with 1 for the class itself
    found = least(runner(interval_graph(model)), low, high, 2.0)
    assert (found <= exact).all()
    np.testing.assert_allclose(found, exact, atol=2e-3)


def test_the_slack_covers_what_float32_loses_many_times() -> None:
    terms = 3000
    values, weights = (rng.standard_normal(shape).astype(np.float32) for shape in ((200, terms), (terms, 40)))
    sums, sizes = values @ weights, np.abs(values.astype(np.float64)) @ np.abs(weights.astype(np.float64))
    lost = np.abs(sums - values.astype(np.float64) @ weights.astype(np.float64)) / sizes
    assert 0 < 10 * lost.max() < slack(terms) < 1e-4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 30), st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0.05, 20))
def test_a_larger_box_never_has_a_larger_bound(
    seed: int, first: float, second: float, temperature: float
) -> None:
    image = np.random.default_rng(seed).uniform(0, 1, (1, *IMAGE)).astype(np.float32)
    small, large = sorted((np.float32(first), np.float32(second)))
    inner, outer = (least(WIDENING, image - radius, image + radius, temperature) for radius in (small, large))
    assert (outer <= inner + 1e-5).all()


WIDENING = runner(interval_graph(NETWORKS["pre-activation"]))


@pytest.mark.parametrize(
    ("middle", "words"),
    [
        ([node("Sin", "c", "y")], r"through Sin \(output 'y'\): the operator has no rule"),
        ([node("Mul", "c c", "y")], "Mul .*depend on the image"),
        ([node("LeakyRelu", "c", "y", alpha=-0.1)], "LeakyRelu .*slope below 0"),
        (
            [
                helper.make_node("MaxPool", ["c"], ["p", "i"], kernel_shape=[1, 1]),
                node("Cast", "i", "j", to=1),
                node("Add", "j p", "y"),
            ],
            "MaxPool .*first output",
        ),  # its second is where they are
        ([node("Div", "two c", "y")], "Div .*depend on the image"),
        (
            [
                node("Shape", "images", "s"),
                node("ConstantOfShape", "s", "z"),
                node("Slice", "z first last", "k"),
                node("Add", "c z", "y"),
            ],
            "Add .*'z' has to be constant",
        ),
    ],
)
def test_what_has_no_rule_is_refused_by_name(middle: list[NodeProto], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        interval_graph(network(middle))
