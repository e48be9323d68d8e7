"""Neuron Switch (Ma et al., DeepMutation, 2018; Wang et al. 2019, Algorithm 5)."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mutant_guard.bank.pool import Choice
from mutant_guard.errors import ModelError
from mutant_store.graph.graph import Graph, attribute
from mutant_store.graph.neurons import Layer, Use
from mutant_store.graph.parameters import Parameters
from mutant_store.operators.base import MUTANT_INDEX, SharedWeights, chosen_count

_LEAST_OPSET = 12


class NeuronSwitch(SharedWeights):
    """Operator that exchanges the weights of ⌈Nγ⌉ of the N neurons within each layer.

    None of them keeps its own weights; biases stay. A layer's output without its bias is then a
    permutation of the original's, so all mutants share the weights and differ by one index per
    channel. In a grouped convolution neurons are exchanged within their group, since only those
    read the same inputs. A layer (or group) in which fewer than two are chosen is left alone. A
    choice is ``neurons`` int32 [k] and ``sources`` int32 [k], the neurons whose weights they take,
    counted over all layers.
    """

    name = "ns"

    def draw(self, parameters: Parameters, rate: float, rng: np.random.Generator) -> Choice:
        """Draw neurons and derange them.

        Raises:
            ModelError: the rate is too low for any layer (the message names the least one that
                works), or all neurons of each layer have the same weights.
        """
        groups = _groups(parameters.layers)
        able = [(start, size, chosen_count(size, rate)) for start, size in groups]
        able = [(start, size, count) for start, size, count in able if count >= 2]
        if not able:
            raise ModelError(_too_low(rate, max(size for _, size in groups)))
        if all(_alike(parameters, range(start, start + size)) for start, size, _ in able):
            raise ModelError(
                "the neurons of each layer all have the same weights, so switching changes nothing"
            )
        while True:
            chosen = [s + np.sort(rng.choice(size, size=count, replace=False)) for s, size, count in able]
            neurons = np.concatenate(chosen)
            sources = np.concatenate([own[_derangement(len(own), rng)] for own in chosen])
            pairs = zip(neurons.tolist(), sources.tolist(), strict=True)
            if not all(_alike(parameters, pair) for pair in pairs):
                return {"neurons": neurons.astype(np.int32), "sources": sources.astype(np.int32)}

    def population(self, parameters: Parameters) -> str:
        """Return the text for the neurons of each layer."""
        return f"the neurons of each of {len(parameters.layers)} layers"

    def first_layer(self, parameters: Parameters, choice: Choice) -> int:
        """Return the position of the layer of the first chosen neuron."""
        return parameters.layer_of_neuron(int(choice["neurons"].min()))

    def mutate(self, graph: Graph, parameters: Parameters, choice: Choice) -> None:
        """Exchange the chosen rows of weights."""
        sources = _sources(parameters, [choice])[0]
        offset = 0
        for layer in parameters.layers:
            rows = sources[offset : offset + layer.neurons] - offset
            offset += layer.neurons
            if (rows == np.arange(layer.neurons)).all():
                continue
            weight = np.take(graph.array(layer.weight), rows, axis=layer.weight_axis)
            mutated = graph.add_constant(f"{layer.weight}_mutated", weight)
            producers = graph.producers()
            for use in layer.uses:
                producers[use.node].input[1] = mutated

    def weave(self, graph: Graph, parameters: Parameters, choices: Sequence[Choice | None]) -> None:
        """Insert a table of channel indices per layer, and one that puts the biases right.

        Both are gathered by mutant.

        Raises:
            ModelError: the model's operator set is too old to gather channels by row.
        """
        if graph.opset < _LEAST_OPSET:
            raise ModelError(
                f"the operator ns needs operator set {_LEAST_OPSET}, and the model has {graph.opset}: export it with "
                f"{_LEAST_OPSET} or newer, or use another operator"
            )
        sources = _sources(parameters, choices)
        offset = 0
        for layer in parameters.layers:
            own = sources[:, offset : offset + layer.neurons] - offset
            offset += layer.neurons
            if (own == np.arange(layer.neurons)).all():
                continue
            for use in layer.uses:
                _permute(graph, layer, use, own)


def _groups(layers: list[Layer]) -> list[tuple[int, int]]:
    """Return the first neuron and the number of neurons of every set that reads the same inputs."""
    found, offset = [], 0
    for layer in layers:
        size = layer.neurons // layer.groups
        found += [(offset + group * size, size) for group in range(layer.groups)]
        offset += layer.neurons
    return found


def _alike(parameters: Parameters, neurons: Iterable[int]) -> bool:
    """Check whether neurons have the same weights, as pruned ones do."""
    weights = map(parameters.weights_of, neurons)
    first = next(weights)
    return all(np.array_equal(first, other) for other in weights)


def _derangement(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a uniform permutation without fixed points, by rejection: about e tries."""
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


def _sources(parameters: Parameters, choices: Sequence[Choice | None]) -> NDArray[np.int64]:
    """Return, for every choice and neuron, the neuron whose weights it has: int64 [M, N]."""
    sources = np.tile(np.arange(parameters.neurons), (len(choices), 1))
    for row, choice in enumerate(choices):
        if choice is not None:
            sources[row, choice["neurons"]] = choice["sources"]
    return sources


def _permute(graph: Graph, layer: Layer, use: Use, own: NDArray[np.int64]) -> None:
    kept = _bias_left_behind(graph, layer, use, own)
    narrow = np.int16 if layer.neurons <= np.iinfo(np.int16).max else np.int32
    table = graph.add_constant(f"{use.node}_sources", own[..., None].astype(narrow))
    narrow_row, row = (graph.fresh(f"{use.node}_{part}") for part in ("source_row", "sources_of_row"))
    nodes = [
        helper.make_node("Gather", [table, MUTANT_INDEX], [narrow_row], name=narrow_row, axis=0),
        helper.make_node("Cast", [narrow_row], [row], name=row, to=TensorProto.INT64),
    ]
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
    if kept is not None:
        shape = [len(own), *[1] * (use.rank - 1)]
        shape[layer.channel_axis] = layer.neurons
        corrections = graph.add_constant(f"{use.node}_corrections", kept.reshape(shape))
        correction = then("Gather", [corrections, MUTANT_INDEX], axis=0)
        current = then("Add", [current, correction])
    graph.insert_after(use.node, nodes, current)


def _bias_left_behind(
    graph: Graph, layer: Layer, use: Use, own: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Return what to add after permuting an output that holds its bias, or None for nothing.

    It is b − P·b, float32 [M, neurons]. Leaving the bias in its node keeps the tensor the
    original's, so that it can be computed once per image. The bias of a MatMul stands in a node
    behind it and is not permuted.
    """
    if use.bias is None or use.bias_node != use.node:
        return None
    node = graph.producers()[use.node]
    bias = np.broadcast_to(graph.array(use.bias).reshape(-1), layer.neurons)
    bias = bias * np.float32(attribute(node, "beta", 1) if node.op_type == "Gemm" else 1)
    left: NDArray[np.float32] = (bias - bias[own]).astype(np.float32)
    return left if left.any() else None
