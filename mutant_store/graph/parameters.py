"""Parameters of a classifier's weighted layers as one vector."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import Layer


@dataclass(frozen=True)
class Tensor:
    """Weight or bias within the vector of parameters.

    Attributes:
        name: name of its constant in the graph.
        layer: position of the first layer that reads it.
        start: position in the vector at which it begins.
        shape: its shape in the vector: weights begin with the axis of neurons, whatever order the
            file has.
    """

    name: str
    layer: int
    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        """Position in the vector behind its last value."""
        return self.start + int(np.prod(self.shape))


class Parameters:
    """All weights and biases of some layers, in graph order.

    Each layer has its weights neuron by neuron, then its bias.

    Attributes:
        layers: the layers.
        tensors: places of their weights and biases; a tensor that two layers read is there once.
        values: float32 [P], the original's values.
        neurons: number of neurons of all layers.
    """

    def __init__(self, graph: Graph, layers: list[Layer]) -> None:
        """Read the parameters of layers from the graph that they were found in.

        Args:
            graph: the graph; it is not kept.
            layers: layers of this graph.
        """
        self.layers = layers
        self.tensors: list[Tensor] = []
        parts: list[NDArray[np.float32]] = []
        known: set[str] = set()
        start = 0
        for position, layer in enumerate(layers):
            weight = np.moveaxis(graph.array(layer.weight), layer.weight_axis, 0)
            biases = [(use.bias, graph.array(use.bias)) for use in layer.uses if use.bias is not None]
            for name, value in [(layer.weight, weight), *biases]:
                if name in known:
                    continue
                known.add(name)
                self.tensors.append(Tensor(name, position, start, value.shape))
                parts.append(value.ravel())
                start = self.tensors[-1].stop
        self.values: NDArray[np.float32] = np.concatenate([np.zeros(0, np.float32), *parts]).astype(
            np.float32, copy=False
        )
        self.values.setflags(write=False)
        self.neurons = sum(layer.neurons for layer in layers)
        self._first_neurons = np.cumsum([0, *(layer.neurons for layer in layers)])
        self._starts = np.array([tensor.start for tensor in self.tensors])
        self._weights = {tensor.name: tensor for tensor in self.tensors}

    def products(self, position: int) -> float:
        """Return the multiply-adds of a layer for one image; its outputs must have been measured."""
        layer = self.layers[position]
        weight = self._weights[layer.weight]
        width = (weight.stop - weight.start) / layer.neurons
        return sum(use.outputs for use in layer.uses) * width

    def layer_of_neuron(self, neuron: int) -> int:
        """Return the position of a neuron's layer; neurons are counted over the layers in order."""
        return int(np.searchsorted(self._first_neurons, neuron, side="right")) - 1

    def tensors_of(self, positions: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return the number of the tensor that holds each position of the vector, int64.

        The result has the shape of ``positions``.
        """
        return np.searchsorted(self._starts, positions, side="right") - 1

    @cached_property
    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of every tensor, float64 [tensors] each."""
        parts = [self.values[t.start : t.stop].astype(np.float64) for t in self.tensors]
        return np.array([part.mean() for part in parts]), np.array([part.std() for part in parts])

    def incoming(self, neuron: int) -> tuple[int, int]:
        """Return the start and the stop of a neuron's incoming weights in the vector.

        The neuron's bias is not among them.
        """
        position = self.layer_of_neuron(neuron)
        layer = self.layers[position]
        tensor = self._weights[layer.weight]
        width = (tensor.stop - tensor.start) // layer.neurons
        start = tensor.start + width * (neuron - int(self._first_neurons[position]))
        return start, start + width

    def weights_of(self, neuron: int) -> NDArray[np.float32]:
        """Return the incoming weights of a neuron, float32 [inputs]."""
        start, stop = self.incoming(neuron)
        return self.values[start:stop]

    def write(self, graph: Graph, values: NDArray[np.float32]) -> None:
        """Make a graph of the same classifier read new parameters.

        Only those tensors that differ from the original's are replaced.

        Args:
            graph: graph of the classifier; changed in place.
            values: float32 [P], all parameters.
        """
        for tensor in self.tensors:
            mine = values[tensor.start : tensor.stop]
            if np.array_equal(mine, self.values[tensor.start : tensor.stop]):
                continue
            value = mine.reshape(tensor.shape)
            for layer in self.layers:
                if layer.weight == tensor.name:
                    value = np.moveaxis(value, 0, layer.weight_axis)
            rewire(graph, self.layers, tensor.name, graph.add_constant(f"{tensor.name}_mutated", value))


def rewire(graph: Graph, layers: list[Layer], name: str, replacement: str) -> None:
    """Make every use of these layers that reads weight or bias ``name`` read ``replacement``."""
    producers = graph.producers()
    for layer in layers:
        for use in layer.uses:
            if layer.weight == name:
                producers[use.node].input[1] = replacement
            if use.bias == name:
                reader = producers[use.bias_node]
                reader.input[list(reader.input).index(name)] = replacement
