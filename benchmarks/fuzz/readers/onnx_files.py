"""ONNX files: graphs changed as graphs, and as bytes."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, parser

from benchmarks.fuzz.mutations.scramble import scramble
from benchmarks.fuzz.readers.base import Target
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_store.build import BuildSettings, build
from mutant_store.loading.input_spec import InputOptions
from mutant_store.pool.selection import SelectionSettings

_HEAD = '<ir_version: 8, opset_import: ["": 17]> g (float[n,1,4,4] x) => (float[n,{}] y)'
_BODIES = (
    ("4", "f = Flatten (x) y = Gemm (f, w, b)"),
    ("4", "f = Flatten (x) m = MatMul (f, w) a = Add (m, b) p = Softmax (a) y = Clip (p)"),
    ("4", "f = Flatten (x) m = Gemm (f, w, b) r = Relu (m) y = Gemm (r, eye, b)"),
    (
        "4",
        "c = Conv <strides = [2, 2]> (x, kernel) r = Relu (c) f = Flatten (r) t = Softmax (table) "
        "s = ReduceMax <axes = [0, 1], keepdims = 0> (t) g = Gemm (f, eye, b) y = Add (g, s)",
    ),
    (
        "4",
        "c = Conv <strides = [2, 2]> (x, kernel) o = BatchNormalization (c, one, zero, zero, one) "
        "f = Reshape (o, rows) l = Gemm (f, eye, b) "
        "y = If (yes) <then_branch = t () => (float[n,4] u) { u = Identity (l) }, "
        "else_branch = e () => (float[n,4] v) { v = Neg (l) }>",
    ),
    ("1", "f = Flatten (x) m = Gemm (f, w, b) z = MatMul (m, column) y = Sigmoid (z)"),
)
_NAMES = (
    "images",
    "logits",
    "image_index",
    "mutant_index",
    "features_0",
    "entry_0_both",
    "",
    "é",
    "x",
    "y",
    "a" * 300,
)
_NOTES = (
    "{",
    "{}",
    '{"mean": [NaN]}',
    '{"classes": ["a", "a"]}',
    '{"accuracy": 2}',
    "[" * 9999,
    "a,b,c,d",
    "\u0000",
)
_SIZES = (-1, 0, 1, 2, 3, 4, 7, 1000, 1 << 20, 1 << 40, (1 << 63) - 1)
_MOST_OPERATORS = 3

Edit = Callable[[ModelProto, Random], None]


class OnnxFiles(Target):
    """Classifiers of four kinds of pictures that are built into stores of two mutants."""

    name = "onnx"

    def seeds(self) -> list[bytes]:
        """Return dense layers, convolutions, a normalisation, a branch, and one score for two classes."""
        return [*_seeds()]

    def mutated(self, content: bytes, random: Random) -> bytes:
        """Change a few parts of a graph, or any bytes of it."""
        if random.random() < 0.1:
            return scramble(content, random)
        try:
            model = onnx.load_from_string(content)
        except DecodeError:
            return scramble(content, random)
        for _ in range(random.randint(1, 2)):
            try:
                random.choice(_EDITS)(model, random)
            except (IndexError, ValueError, TypeError, KeyError):  # there is nothing to change, or not so
                continue
        return model.SerializeToString()

    def read(self, content: bytes, folder: Path) -> None:
        """Build a store."""
        (folder / "m.onnx").write_bytes(content)
        pixels, labels = _pictures()
        two = _one_score(content)
        np.savez(folder / "set.npz", x=pixels, y=labels % 2 if two else labels)
        selection = SelectionSettings(rate=0.01, mutants=2, seed=0, accuracy_ratio=0.3, jobs=1)
        settings = BuildSettings(
            "nai", selection, InputOptions(), CalibrationSettings(max_false_alarm=0.5), threads=1
        )
        build(folder / "m.onnx", f"npz:{folder}/set.npz", folder / "store", settings, _Silence())


class _Silence:
    def step(self, text: str) -> None:
        """Say nothing."""

    def progress(self, done: int, total: int, note: str) -> None:
        """Say nothing."""


@cache
def _pictures() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return pictures uint8 [120, 4, 4] of four quarters, one of them bright, and which it is."""
    labels = np.arange(120) % 4
    pixels = np.random.default_rng(0).integers(0, 60, (120, 4, 4), dtype=np.uint8)
    for picture, label in zip(pixels, labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        picture[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 180
    return pixels, labels


def _one_score(content: bytes) -> bool:
    """Check whether a model says that it gives one score an image."""
    try:
        ends = onnx.load_from_string(content).graph.output
    except DecodeError:
        return False
    return any(dim.dim_value == 1 for end in ends[:1] for dim in end.type.tensor_type.shape.dim[1:])


@cache
def _seeds() -> tuple[bytes, ...]:
    quarters = np.zeros((4, 4, 4), np.float32)
    for label in range(4):
        row, column = divmod(label, 2)
        quarters[2 * row : 2 * row + 2, 2 * column : 2 * column + 2, label] = 1
    constants = {
        "w": quarters.reshape(16, 4),
        "b": np.array([0.1, 0, 0, 0.1], np.float32),
        "eye": np.eye(4, dtype=np.float32),
        "kernel": np.ones((1, 1, 2, 2), np.float32),
        "table": np.ones((2, 2, 4), np.float32),
        "one": np.ones(1, np.float32),
        "zero": np.zeros(1, np.float32),
        "rows": np.array([-1, 4]),
        "yes": np.array(True),
        "column": np.array([[-1], [1], [-1], [1]], np.float32),
    }
    found = []
    for classes, body in _BODIES:
        model = parser.parse_model(f"{_HEAD.format(classes)} {{ {body} }}")
        model.graph.initializer.extend(
            numpy_helper.from_array(value, name) for name, value in constants.items()
        )
        found.append(model.SerializeToString())
    return tuple(found)


@cache
def _operators() -> list[str]:
    return sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""})


def _tensors(model: ModelProto) -> list[str]:
    names = [name for node in model.graph.node for name in (*node.input, *node.output)]
    return [*names, *(entry.name for entry in model.graph.initializer), *_NAMES]


def _another_operator(model: ModelProto, random: Random) -> None:
    random.choice(model.graph.node).op_type = random.choice(_operators())


def _node_away(model: ModelProto, random: Random) -> None:
    del model.graph.node[random.randrange(len(model.graph.node))]


def _node_again(model: ModelProto, random: Random) -> None:
    model.graph.node.add().CopyFrom(random.choice(model.graph.node))


def _another_name(model: ModelProto, random: Random) -> None:
    node = random.choice(model.graph.node)
    names = random.choice((node.input, node.output))
    names[random.randrange(len(names))] = random.choice(_tensors(model))


def _renamed(model: ModelProto, random: Random) -> None:
    old, new = random.choice(_tensors(model)), random.choice(_NAMES)
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for end in (*model.graph.input, *model.graph.output):
        end.name = new if end.name == old else end.name
    for entry in model.graph.initializer:
        entry.name = new if entry.name == old else entry.name


def _fewer_or_more_inputs(model: ModelProto, random: Random) -> None:
    node = random.choice(model.graph.node)
    if random.random() < 0.5:
        del node.input[-1]
    else:
        node.input.append(random.choice(_tensors(model)))


def _another_attribute(model: ModelProto, random: Random) -> None:
    node = random.choice([node for node in model.graph.node if node.attribute])
    entry = random.choice(node.attribute)
    match random.randrange(4):
        case 0:
            node.attribute.remove(entry)
        case 1:
            entry.i = random.choice(_SIZES)
        case 2:
            del entry.ints[:]
            entry.ints.extend(random.choices(_SIZES, k=random.randint(0, 4)))
        case _:
            entry.type = random.randint(0, 14)  # type: ignore[assignment]


def _another_constant(model: ModelProto, random: Random) -> None:
    entry = random.choice(model.graph.initializer)
    match random.randrange(8):
        case 0:
            del entry.dims[:]
            entry.dims.extend(random.choices(_SIZES, k=random.randint(0, 4)))
        case 1:
            entry.data_type = random.randint(0, 24)
        case 2:
            entry.raw_data = entry.raw_data[: random.randrange(len(entry.raw_data))]
        case 3:
            model.graph.initializer.remove(entry)
        case 4:
            values = numpy_helper.to_array(entry) * np.array(
                random.choice((np.nan, np.inf, 0, 1e30)), np.float32
            )
            entry.CopyFrom(numpy_helper.from_array(values.astype(np.float32), entry.name))
        case 5:
            entry.data_location = TensorProto.EXTERNAL
            for key, value in (
                ("location", random.choice(("m.onnx", "../m.onnx", "", "gone", "."))),
                ("offset", "-1"),
            ):
                entry.external_data.add(key=key, value=value)
        case 6:
            entry.CopyFrom(numpy_helper.from_array(np.array(random.choices(_SIZES, k=4)), entry.name))
        case _:
            model.graph.initializer.add().CopyFrom(entry)


def _another_end(model: ModelProto, random: Random) -> None:
    entry = random.choice((*model.graph.input, *model.graph.output))
    kind = entry.type.tensor_type
    match random.randrange(7):
        case 0:
            kind.ClearField("shape")
        case 1:
            kind.elem_type = random.randint(0, 24)
        case 2:
            random.choice(kind.shape.dim).dim_value = random.choice(_SIZES)
        case 3:
            random.choice(kind.shape.dim).dim_param = random.choice(("n", "", "batch"))
        case 4:
            del kind.shape.dim[random.randrange(len(kind.shape.dim))]
        case 5:
            kind.shape.dim.add().dim_value = random.choice(_SIZES)
        case _:
            model.graph.output.add().CopyFrom(entry)


def _another_version(model: ModelProto, random: Random) -> None:
    match random.randrange(3):
        case 0:
            model.opset_import[0].version = random.randint(-1, 30)
        case 1:
            model.opset_import.add(
                domain=random.choice(("", "far", "ai.onnx.ml")), version=random.randint(0, 9)
            )
        case _:
            model.ir_version = random.randint(0, 20)


def _noted(model: ModelProto, random: Random) -> None:
    key = random.choice(("mutant_guard", "names", "classes", "id2label"))
    model.metadata_props.add(key=key, value=random.choice(_NOTES))


def _inserted(model: ModelProto, random: Random) -> None:
    """Put up to three operators between a tensor and its readers."""
    end = random.choice([node.output[0] for node in model.graph.node])
    inner = f"{end}_{random.randrange(1 << 30)}"
    for node in model.graph.node:
        node.output[:] = [inner if name == end else name for name in node.output]
    for number in range(random.randint(1, _MOST_OPERATORS)):
        output = f"{inner}_{number}"
        more = [random.choice(_tensors(model))] if random.random() < 0.3 else []
        model.graph.node.append(helper.make_node(random.choice(_LIKELY), [inner, *more], [output]))
        inner = output
    model.graph.node[-1].output[0] = end
    _sorted(model)


def _computed(model: ModelProto, random: Random) -> None:
    """Have a constant computed by an operator from another constant."""
    entry = random.choice(model.graph.initializer)
    fresh = f"{entry.name}_given"
    given = TensorProto()
    given.CopyFrom(entry)
    given.name = fresh
    model.graph.initializer.append(given)
    model.graph.initializer.remove(entry)
    more = [random.choice([one.name for one in model.graph.initializer])] if random.random() < 0.5 else []
    operator = random.choice((*_LIKELY, *_operators()))
    model.graph.node.insert(0, helper.make_node(operator, [fresh, *more], [entry.name]))


def _sorted(model: ModelProto) -> None:
    """Put nodes behind those that they read, as far as that can be done."""
    waiting: list[NodeProto] = list(model.graph.node)
    known = {"", *(end.name for end in model.graph.input), *(entry.name for entry in model.graph.initializer)}
    kept: list[NodeProto] = []
    while ready := [node for node in waiting if set(node.input) <= known]:
        kept += ready
        waiting = [node for node in waiting if node not in ready]
        known.update(name for node in ready for name in node.output)
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in (*kept, *waiting)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


_LIKELY = (
    "Abs", "Add", "ArgMax", "Cast", "Clip", "Concat", "ConstantOfShape", "Dropout", "Exp", "Expand", "Flatten",
    "Gather", "Identity", "Log", "LogSoftmax", "MatMul", "Mul", "Neg", "NonZero", "ReduceMax", "ReduceSum", "Relu",
    "Reshape", "Shape", "Sigmoid", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Tile", "Transpose", "Unsqueeze",
)  # fmt: skip
_EDITS: tuple[Edit, ...] = (
    _another_operator,
    _node_away,
    _node_again,
    _another_name,
    _renamed,
    _fewer_or_more_inputs,
    _another_attribute,
    _another_constant,
    _another_constant,
    _another_end,
    _another_version,
    _noted,
    _inserted,
    _inserted,
    _computed,
    _computed,
)
