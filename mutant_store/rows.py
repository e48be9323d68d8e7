"""Whether every row of every layer belongs to one image: measured on real images, not inferred."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from mutant_store.classifier import Classifier, refuse
from mutant_store.graph import Graph
from mutant_store.neurons import Layer
from mutant_store.session import IMAGES, open_session, run_session


def tensors_at(graph: Graph, names: list[str], inputs: NDArray[np.float32]) -> list[NDArray[np.generic]]:
    """Values of inner tensors of a graph that reads ``images``, for float32 inputs [N, …].

    Raises:
        ModelError: the graph does not take these inputs.
    """
    source = [entry for entry in graph.proto.input if entry.name == IMAGES]
    model = graph.subgraph(source, [helper.make_empty_tensor_value_info(name) for name in names])
    return list(run_session(open_session(model.SerializeToString()), IMAGES, inputs))


def measure_rows(classifier: Classifier, layers: list[Layer], inputs: NDArray[np.float32]) -> list[Layer]:
    """Fill in the rank of every tap.

    Args:
        classifier: the classifier the layers belong to.
        layers: from ``find_layers``.
        inputs: float32 [N, …], N ≥ 3 real images.

    Raises:
        ModelError: a layer whose rows are not images (windows or tokens folded into the batch), by name.
    """
    taps = [use.tap for layer in layers for use in layer.uses]
    graph = Graph(classifier.model)
    values = {size: tensors_at(graph, taps, inputs[:size]) for size in (2, 3)}
    ranks = {}
    for position, tap in enumerate(taps):
        two, three = (values[size][position].shape for size in (2, 3))
        if len(two) < 2 or (two[0], three[0]) != (2, 3):
            raise refuse(
                graph.producers()[tap],
                f"its first axis is {two[:1]} for 2 images, so its rows are not images",
            )
        ranks[tap] = len(two)
    return [
        replace(layer, uses=tuple(replace(use, rank=ranks[use.tap]) for use in layer.uses))
        for layer in layers
    ]
