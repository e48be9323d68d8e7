"""Embeddings of images that a classifier computes anyway, as fingerprints."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from onnx import helper

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
    model = graph.subgraph(source, [helper.make_empty_tensor_value_info(tap)])
    session = open_session(model.SerializeToString(), shared_arena=True)
    probe = form.tensor(np.zeros((1, form.height, form.width, form.channels), np.uint8))
    most, values = classifier.rows_at_once(probe.shape[1:]), run_session(session, IMAGES, probe)[0].size
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (values, _LENGTH)).astype(np.float32)
    signs /= np.float32(_LENGTH**0.5)

    def embed(images: Pixels) -> NDArray[np.float32]:
        inputs = (form.tensor(images[block]) for block in even_blocks(len(images), most))
        return np.concatenate(
            [run_session(session, IMAGES, part)[0].reshape(len(part), -1) @ signs for part in inputs]
        )

    return embed
