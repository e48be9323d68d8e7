"""Neuron Activation Inverse (Ma et al., DeepMutation, 2018; Wang et al. 2019, Algorithm 2)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mutant_guard.bank.pool import Choice
from mutant_guard.errors import ModelError
from mutant_store.graph.graph import Graph
from mutant_store.graph.parameters import Parameters
from mutant_store.operators.base import MUTANT_INDEX, SharedWeights, chosen_count


class NeuronActivationInverse(SharedWeights):
    """Operator that negates the weights and the bias of ⌈Nγ⌉ of all N neurons.

    A negated neuron's output is the negative of the original's. So all mutants share the weights
    and differ by one sign per channel, applied where the layer's output stands after its bias. A
    choice is ``neurons`` int32 [k].
    """

    name = "nai"

    def draw(self, parameters: Parameters, rate: float, rng: np.random.Generator) -> Choice:
        """Draw the numbers of the chosen neurons, counted over the layers in order, ascending.

        Pruned neurons, whose weights are all 0, are chosen like others, but never alone.

        Raises:
            ModelError: all weights are 0.
        """
        if not any(parameters.weights_of(neuron).any() for neuron in range(parameters.neurons)):
            raise ModelError("all weights of all layers are 0, so negating them changes nothing")
        total = parameters.neurons
        while True:
            chosen = np.sort(rng.choice(total, size=chosen_count(total, rate), replace=False))
            if any(parameters.weights_of(neuron).any() for neuron in chosen.tolist()):
                return {"neurons": chosen.astype(np.int32)}

    def population(self, parameters: Parameters) -> str:
        """Return the number of neurons, as text."""
        return f"{parameters.neurons:,} neurons"

    def first_layer(self, parameters: Parameters, choice: Choice) -> int:
        """Return the position of the layer of the first chosen neuron."""
        return parameters.layer_of_neuron(int(choice["neurons"][0]))

    def mutate(self, graph: Graph, parameters: Parameters, choice: Choice) -> None:
        """Multiply the chosen rows of weights, and their biases, by −1."""
        offset = 0
        for layer in parameters.layers:
            neurons = choice["neurons"]
            mine = neurons[(neurons >= offset) & (neurons < offset + layer.neurons)] - offset
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

    def weave(self, graph: Graph, parameters: Parameters, choices: Sequence[Choice | None]) -> None:
        """Insert a table of signs per layer.

        A row's signs are gathered by mutant and multiplied onto the layer's output.
        """
        signs = np.ones((len(choices), parameters.neurons), dtype=np.int8)
        for row, choice in enumerate(choices):
            if choice is not None:
                signs[row, choice["neurons"]] = -1
        offset = 0
        for layer in parameters.layers:
            own = signs[:, offset : offset + layer.neurons]
            offset += layer.neurons
            if (own == 1).all():
                continue
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
