"""Neuron Activation Inverse (Ma et al., DeepMutation, 2018; Wang et al. 2019, Algorithm 2)."""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mutant_store.graph import Graph
from mutant_store.neurons import Layer, neuron_count
from mutant_store.operators.base import MUTANT_INDEX, Choice, Operator, chosen_count


class NeuronActivationInverse(Operator):
    """Negate the weights and the bias of ⌈Nγ⌉ of all N neurons.

    A negated neuron's output is the negative of the original's, so all mutants share the weights and differ by
    a sign a channel, applied where the layer's output stands after its bias.
    """

    name = "nai"
    decks = 1024

    def draw(self, layers: list[Layer], rate: float, rng: np.random.Generator) -> Choice:
        """Numbers of the chosen neurons, counted over the layers in order, ascending."""
        total = neuron_count(layers)
        chosen = rng.choice(total, size=chosen_count(total, rate), replace=False)
        return np.sort(chosen).astype(np.int32)

    def mutate(self, graph: Graph, layers: list[Layer], choice: Choice) -> None:
        """Multiply the chosen rows of weights, and their biases, by −1."""
        offset = 0
        for layer in layers:
            mine = choice[(choice >= offset) & (choice < offset + layer.neurons)] - offset
            offset += layer.neurons
            if not mine.size:
                continue
            sign = np.ones(layer.neurons, dtype=np.float32)
            sign[mine] = -1
            weight = graph.array(layer.weight)
            shape = [1] * weight.ndim
            shape[layer.weight_axis] = layer.neurons
            mutated = graph.add_constant(f"{layer.weight}_mutated", weight * sign.reshape(shape))
            producers = graph.producers()
            for use in layer.uses:
                producers[use.node].input[1] = mutated
                if use.bias is None:
                    continue
                bias = graph.array(use.bias)
                replaced = graph.add_constant(f"{use.bias}_mutated", bias * sign)
                reader = producers[use.bias_node]
                reader.input[list(reader.input).index(use.bias)] = replaced

    def weave(self, graph: Graph, layers: list[Layer], pool: NDArray[np.int32]) -> None:
        """A table of signs per layer, gathered by mutant and multiplied onto the layer's output."""
        signs = np.ones((len(pool) + 1, neuron_count(layers)), dtype=np.int8)
        signs[np.arange(1, len(pool) + 1)[:, None], pool] = -1
        offset = 0
        for layer in layers:
            own = signs[:, offset : offset + layer.neurons]
            offset += layer.neurons
            for use in layer.uses:
                shape = [len(own), *[1] * (use.rank - 1)]
                shape[layer.channel_axis] = layer.neurons
                _multiply(graph, use.tap, own.reshape(shape))


def _multiply(graph: Graph, tap: str, signs: NDArray[np.int8]) -> None:
    table = graph.add_constant(f"{tap}_signs", signs)
    row, sign, product = (graph.fresh(f"{tap}_{part}") for part in ("sign_row", "sign", "signed"))
    nodes = [
        helper.make_node("Gather", [table, MUTANT_INDEX], [row], name=row, axis=0),
        helper.make_node("Cast", [row], [sign], name=sign, to=TensorProto.FLOAT),
        helper.make_node("Mul", [tap, sign], [product], name=product),
    ]
    graph.insert_after(tap, nodes, product)
