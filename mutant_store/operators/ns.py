"""Neuron Switch (Ma et al., DeepMutation, 2018; Wang et al. 2019, Table I)."""

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from mutant_store.errors import ModelError
from mutant_store.graph import Graph, attribute
from mutant_store.neurons import Layer, Use
from mutant_store.operators.base import MUTANT_INDEX, Choice, Operator, chosen_count


class NeuronSwitch(Operator):
    """Within each layer, exchange the weights of ⌈Nγ⌉ of its N neurons so that none keeps its own; biases stay.

    A layer's output before its bias is then a permutation of the original's, so all mutants share the weights
    and differ by an index a channel. In a grouped convolution neurons are exchanged within their group, since
    only those read the same inputs. A layer (or group) in which fewer than two are chosen is left alone.
    """

    name = "ns"
    decks = 1024

    def draw(self, layers: list[Layer], rate: float, rng: np.random.Generator) -> Choice:
        """Pairs (neuron, the neuron whose weights it takes), flattened: int32 [2·k], counted over all layers.

        Raises:
            ModelError: the rate is too low for any layer; the least one that works is named.
        """
        pairs = []
        for start, neurons in _groups(layers):
            count = chosen_count(neurons, rate)
            if count < 2:
                continue
            chosen = start + np.sort(rng.choice(neurons, size=count, replace=False))
            pairs.append(np.stack([chosen, chosen[_derangement(count, rng)]], axis=1))
        if not pairs:
            raise ModelError(_too_low(rate, max(neurons for _, neurons in _groups(layers))))
        return np.concatenate(pairs).ravel().astype(np.int32)

    def mutate(self, graph: Graph, layers: list[Layer], choice: Choice) -> None:
        """Exchange the chosen rows of weights."""
        sources = _sources(layers, choice[None])[0]
        offset = 0
        for layer in layers:
            rows = sources[offset : offset + layer.neurons] - offset
            offset += layer.neurons
            if (rows == np.arange(layer.neurons)).all():
                continue
            weight = np.take(graph.array(layer.weight), rows, axis=layer.weight_axis)
            mutated = graph.add_constant(f"{layer.weight}_mutated", weight)
            producers = graph.producers()
            for use in layer.uses:
                producers[use.node].input[1] = mutated

    def weave(self, graph: Graph, layers: list[Layer], pool: NDArray[np.int32]) -> None:
        """A table of channel indices per layer, gathered by mutant; the bias is added behind it."""
        sources = _sources(layers, pool)
        sources = np.concatenate([np.arange(sources.shape[1])[None], sources])
        offset = 0
        for layer in layers:
            own = sources[:, offset : offset + layer.neurons] - offset
            offset += layer.neurons
            if (own == own[0]).all():
                continue
            for use in layer.uses:
                _permute(graph, layer, use, own)


def _groups(layers: list[Layer]) -> list[tuple[int, int]]:
    """First neuron and number of neurons of every set whose members read the same inputs."""
    found, offset = [], 0
    for layer in layers:
        size = layer.neurons // layer.groups
        found += [(offset + group * size, size) for group in range(layer.groups)]
        offset += layer.neurons
    return found


def _derangement(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A uniform permutation without fixed points, by rejection: about e tries."""
    while True:
        drawn = rng.permutation(count)
        if (drawn != np.arange(count)).all():
            return drawn


def _too_low(rate: float, largest: int) -> str:
    if largest < 2:
        return "no layer has two neurons that read the same inputs, so none can be switched; use another operator"
    return (
        f"rate {rate:g} chooses fewer than two neurons in every layer, so nothing would be switched; "
        f"the largest layer, of {largest} neurons, needs a rate above {1 / largest:.6g}"
    )


def _sources(layers: list[Layer], pool: NDArray[np.int32]) -> NDArray[np.int64]:
    """For every mutant and neuron, the neuron whose weights it has: int64 [M, N]."""
    total = sum(layer.neurons for layer in layers)
    sources = np.tile(np.arange(total), (len(pool), 1))
    sources[np.arange(len(pool))[:, None], pool[:, ::2]] = pool[:, 1::2]
    return sources


def _permute(graph: Graph, layer: Layer, use: Use, own: NDArray[np.int64]) -> None:
    node = graph.producers()[use.node]
    bias = _take_bias(graph, node, layer, use)
    table = graph.add_constant(f"{use.node}_sources", own[..., None])
    row = graph.fresh(f"{use.node}_source_row")
    nodes = [helper.make_node("Gather", [table, MUTANT_INDEX], [row], name=row, axis=0)]
    current = use.node

    def then(kind: str, inputs: list[str], **attributes: object) -> str:
        output = graph.fresh(f"{use.node}_{kind.lower()}")
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))  # type: ignore[arg-type]
        return output

    # GatherND takes whole channels when they are the axis behind the batch.
    swap = layer.channel_axis == -1 and use.rank > 2
    order = [0, use.rank - 1, *range(1, use.rank - 1)]
    if swap:
        current = then("Transpose", [current], perm=order)
    current = then("GatherND", [current, row], batch_dims=1)
    if swap:
        current = then("Transpose", [current], perm=np.argsort(order).tolist())
    if bias is not None:
        shape = [1] * use.rank
        shape[layer.channel_axis] = layer.neurons
        current = then("Add", [current, graph.add_constant(f"{use.node}_bias", bias.reshape(shape))])
    graph.insert_after(use.node, nodes, current)


def _take_bias(graph: Graph, node: NodeProto, layer: Layer, use: Use) -> NDArray[np.float32] | None:
    """Take the bias out of a convolution or Gemm; that of a MatMul stands in a node of its own already."""
    if use.bias is None or use.bias_node != use.node:
        return None
    bias = np.broadcast_to(graph.array(use.bias).reshape(-1), layer.neurons)
    del node.input[2:]
    scale = attribute(node, "beta", 1) if node.op_type == "Gemm" else 1
    return np.asarray(bias * np.float32(scale), dtype=np.float32)
