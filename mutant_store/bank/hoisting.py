"""Hoisting: work behind a sign that is done once per image, in the prefix.

The prefix computes the results of both signs, and a row picks one of them by channel.
"""

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
    """Work of the prefix that replaces work of a tail.

    It gives one tensor [R, 2·C, …]: the plain channels, then the negated ones.

    Attributes:
        nodes: nodes that compute the tensor from the original's tensors.
        tensor: name of the tensor.
        shape: shape of the tensor behind the batch.
    """

    nodes: list[NodeProto]
    tensor: str
    shape: tuple[int, ...]


def hoist(graph: Graph, rows: set[str], shape: Shape, prefix: str) -> Hoisted | None:
    """Move the work behind the first sign of a woven graph to the prefix.

    It moves as much of the work as runs channel by channel.

    The sign is multiplied onto a tensor that does not depend on the mutant. The product, and the
    activation, pooling or residual sum behind it, has two possible results per channel. Gathering
    the right one replaces gathering the tensor, multiplying it and all that follows. On small
    networks, these cost as much as the layers themselves.

    Args:
        graph: woven graph with the index inputs ``image_index`` and ``mutant_index``; changed in
            place.
        rows: names of the tensors that depend on the mutant.
        shape: function from a tensor of the original to its shape behind the batch, see
            ``Activations.shape``.
        prefix: beginning of the names of new tensors.

    Returns:
        Work that the prefix has to do, or None, with the graph unchanged, where there is no such
            sign.
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
    """Find the first product of a tensor of the original with one sign per channel.

    Returns:
        The node, the tensor, and where the sign is negative, bool [M, C]; None where there is no
            such product.
    """
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
    """Return the channelwise nodes behind the product, and the output of the last one.

    Each node is the only reader of the one before.
    """
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
    """Return nodes that compute the end of the chain for the tap as it is and for the negated tap.

    The two results stand side by side along the channels.
    """
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
    """Return nodes that gather the channels of every row from the tensor [R, 2·C, …].

    A row reads channel c, or channel C + c where it is negated.
    """
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
