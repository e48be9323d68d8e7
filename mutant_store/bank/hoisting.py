"""Work behind a sign that can still be done once an image: both signs are computed, and a row picks by channel."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from mutant_guard.bank.shared_tail import IMAGE_INDEX
from mutant_store.graph.graph import Graph
from mutant_store.operators.base import MUTANT_INDEX

# Operators whose output in a channel depends on the same channel of their inputs alone.
_ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Min", "Max"}
_CHANNELWISE = {
    *("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish"),
    *("Softplus", "Softsign", "Mish", "Gelu", "PRelu", "BatchNormalization"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"),
}

Shape = Callable[[str], tuple[int, ...] | None]


@dataclass(frozen=True)
class Hoisted:
    """What the prefix computes instead of the tail: a tensor [R, 2·C, …], the plain channels and the negated ones.

    ``nodes`` compute ``tensor`` from the original's tensors; ``shape`` is its shape behind the batch.
    """

    nodes: list[NodeProto]
    tensor: str
    shape: tuple[int, ...]


def hoist(graph: Graph, rows: set[str], shape: Shape, prefix: str) -> Hoisted | None:
    """Move what follows the first sign of a woven graph, as far as it works channel by channel, to the prefix.

    A sign multiplied onto a tensor that does not depend on the mutant, and the activation, pooling or residual sum
    behind it, have two possible results a channel. Gathering the right one replaces gathering the tensor,
    multiplying it and all that follows, which on small networks costs as much as the layers themselves.

    Args:
        graph: woven, with the index inputs ``image_index`` and ``mutant_index``; changed in place.
        rows: tensors that depend on the mutant.
        shape: shape behind the batch of the original's tensors, see ``Activations.shape``.
        prefix: begins the names of new tensors.

    Returns:
        What the prefix has to compute, or None, and an unchanged graph, where there is no such sign.
    """
    found = _first_sign(graph, rows, shape)
    if found is None:
        return None
    product, tap, negative = found
    chain, end = _chain(graph, rows, shape, product)
    channels, *rest = shape(chain[-1].output[0]) if chain else shape(tap)  # type: ignore[misc]
    hoisted = _both(graph, chain, product.output[0], tap, f"{prefix}_both")
    gone = {id(node) for node in (product, *chain)}
    graph.nodes = [node for node in graph.nodes if id(node) not in gone]
    graph.nodes[:0] = _pick(graph, hoisted, negative, [channels, *rest], end)
    return Hoisted(hoisted, f"{prefix}_both", (2 * channels, *rest))


def _first_sign(
    graph: Graph, rows: set[str], shape: Shape
) -> tuple[NodeProto, str, NDArray[np.bool_]] | None:
    """The first product of a tensor of the original with a sign a channel: node, tensor, bool [M, C]."""
    producers = graph.producers()
    for node in graph.nodes:
        if node.op_type != "Mul" or node.input[0] in rows or node.input[0] in graph.constants:
            continue
        cast = producers.get(node.input[1])
        gather = producers.get(cast.input[0]) if cast is not None and cast.op_type == "Cast" else None
        if gather is None or gather.op_type != "Gather" or gather.input[1] != MUTANT_INDEX:
            continue
        table, inner = graph.array(gather.input[0]), shape(node.input[0])
        if inner is None or table.shape[1] != inner[0] or table.size != len(table) * inner[0]:
            continue  # channels are not the axis behind the batch
        if not (np.abs(table) == 1).all() or len(graph.consumers()[node.input[0]]) > 1:
            continue
        return node, node.input[0], table.reshape(len(table), -1) < 0
    return None


def _chain(graph: Graph, rows: set[str], shape: Shape, product: NodeProto) -> tuple[list[NodeProto], str]:
    """Channelwise nodes behind the product, each the only reader of the one before, and the last one's output."""
    consumers, outputs = graph.consumers(), set(graph.output_names)
    channels = shape(product.input[0])
    chain: list[NodeProto] = []
    end = product.output[0]
    while len(consumers[end]) == 1 and end not in outputs and channels is not None:
        node = consumers[end][0]
        others = [name for name in node.input if name != end]
        inner = shape(node.output[0])
        by_channel = node.op_type in _ELEMENTWISE or (
            node.op_type in _CHANNELWISE
            and node.input[0] == end
            and all(name in graph.constants for name in others if name)
        )
        kept = inner is not None and len(inner) == len(channels) and inner[0] == channels[0]
        known = all(name in graph.constants or shape(name) is not None for name in others if name)
        if not by_channel or not kept or not known or len(node.output) > 1 or rows.intersection(others):
            break
        chain.append(node)
        end = node.output[0]
    return chain, end


def _both(graph: Graph, chain: list[NodeProto], product: str, tap: str, tensor: str) -> list[NodeProto]:
    """Nodes that compute the chain's end for the tap as it is and negated, side by side along the channels."""
    ends, nodes = [], [helper.make_node("Neg", [tap], [f"{tensor}_negated"], name=f"{tensor}_negated")]
    for side, start in (("plus", tap), ("minus", f"{tensor}_negated")):
        names = {product: start}
        for number, node in enumerate(chain):
            copy = NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{tensor}_{side}_{number}"
            names[node.output[0]] = copy.name
            for index, name in enumerate(copy.input):
                copy.input[index] = names.get(name, name)
            copy.output[0] = copy.name
            nodes.append(copy)
        ends.append(names[chain[-1].output[0]] if chain else start)
    return [*nodes, helper.make_node("Concat", ends, [tensor], name=tensor, axis=1)]


def _pick(
    graph: Graph, hoisted: list[NodeProto], negative: NDArray[np.bool_], shape: list[int], end: str
) -> list[NodeProto]:
    """Nodes that gather every row's channels from the tensor [R, 2·C, …]: channel c, or C + c where it is negated."""
    tensor, channels = hoisted[-1].output[0], shape[0]
    narrow = np.int16 if 2 * channels <= np.iinfo(np.int16).max else np.int32
    table = graph.add_constant(f"{tensor}_places", (np.arange(channels) + channels * negative).astype(narrow))
    width = graph.add_constant(f"{tensor}_width", np.array([[2 * channels]], dtype=np.int64))
    flat = graph.add_constant(f"{tensor}_flat_shape", np.array([-1, *shape[1:]], dtype=np.int64))
    step = {
        part: graph.fresh(f"{tensor}_{part}")
        for part in ("narrow", "place", "image", "start", "index", "flat")
    }
    return [
        helper.make_node("Gather", [table, MUTANT_INDEX], [step["narrow"]], name=step["narrow"], axis=0),
        helper.make_node("Cast", [step["narrow"]], [step["place"]], name=step["place"], to=TensorProto.INT64),
        helper.make_node(
            "Reshape",
            [IMAGE_INDEX, graph.add_constant(f"{tensor}_column", np.array([-1, 1]))],
            [step["image"]],
            name=step["image"],
        ),
        helper.make_node("Mul", [step["image"], width], [step["start"]], name=step["start"]),
        helper.make_node("Add", [step["start"], step["place"]], [step["index"]], name=step["index"]),
        helper.make_node("Reshape", [tensor, flat], [step["flat"]], name=step["flat"]),
        helper.make_node("Gather", [step["flat"], step["index"]], [end], name=end, axis=0),
    ]
