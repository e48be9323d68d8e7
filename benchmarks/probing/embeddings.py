"""Embeddings of images that a classifier computes anyway, as fingerprints."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper

from evaluation.queries.clean_streams import Pixels
from mutant_guard.bank.memory import even_blocks
from mutant_guard.bank.session import IMAGES, open_session, run_session
from mutant_guard.store.manifest import InputSpec
from mutant_store.graph.classifier import Classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers

_LENGTH = 128
"""Numbers of an embedding after a random projection, as many as a sketch of block means has."""

Embed = Callable[[Pixels], NDArray[np.float32]]
"""Function from images uint8 [N, H, W, C] to embeddings float32 [N, 128]."""


def embeddings(classifier: Classifier, form: InputSpec) -> dict[str, Embed]:
    """Return the outputs of the middle layer and the inputs of the last one, projected at random.

    Args:
        classifier: classifier whose inner tensors are the embeddings.
        form: form in which it reads images.
    """
    graph = Graph(classifier.model)
    layers = find_layers(graph)
    last = graph.producers()[layers[-1].uses[-1].node].input[0]
    taps = {"middle layer": layers[len(layers) // 2].uses[-1].tap, "last features": last}
    return {name: _embed(graph, tap, classifier, form) for name, tap in taps.items()}


def _embed(graph: Graph, tap: str, classifier: Classifier, form: InputSpec) -> Embed:
    source = [entry for entry in graph.proto.input if entry.name == IMAGES]
    model: ModelProto = graph.subgraph(source, [helper.make_empty_tensor_value_info(tap)])
    session = open_session(model.SerializeToString(), shared_arena=True)
    signs: list[NDArray[np.float32]] = []

    def embed(images: Pixels) -> NDArray[np.float32]:
        parts = []
        for block in even_blocks(len(images), classifier.rows_at_once(images.shape[3:] + images.shape[1:3])):
            values = run_session(session, IMAGES, form.tensor(images[block]))[0]
            values = values.reshape(len(values), -1)
            if not signs:
                drawn = np.random.default_rng(0).choice((-1.0, 1.0), (values.shape[1], _LENGTH))
                signs.append(drawn.astype(np.float32) / np.float32(_LENGTH**0.5))
            parts.append(values @ signs[0])
        return np.concatenate(parts)

    return embed
