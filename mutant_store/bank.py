"""The mutant bank: one graph that evaluates any mix of (image, mutant) rows as one batch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from mutant_store.classifier import LOGITS, Classifier, refuse
from mutant_store.graph import Graph
from mutant_store.neurons import Layer
from mutant_store.operators.base import MUTANT_INDEX, Operator
from mutant_store.rows import tensors_at
from mutant_store.session import IMAGES, BankSession

IMAGE_INDEX = "image_index"


@dataclass(frozen=True)
class Bank:
    """Two graphs. ``prefix``: images [R, …] → features; ``bank``: features, image_index, mutant_index → logits."""

    prefix: ModelProto
    bank: ModelProto

    def session(self, threads: int = 0) -> BankSession:
        """Load both on the CPU."""
        return BankSession(self.prefix.SerializeToString(), self.bank.SerializeToString(), threads=threads)


def build_bank(
    classifier: Classifier,
    layers: list[Layer],
    operator: Operator,
    pool: NDArray[np.int32],
    probe: NDArray[np.float32],
) -> Bank:
    """Weave a pool of mutants into the classifier's graph and cut it where images part into rows.

    What does not depend on the mutant, up to and including the first mutated layer's product under NAI, goes
    into the prefix and runs once an image. The rest runs once a row: its features are gathered by image, its
    mutations by mutant.

    Args:
        classifier: the original.
        layers: its layers with ranks, from ``measure_rows``.
        operator: the mutation operator.
        pool: int32 [M, k], one choice a mutant; mutant 0 of the bank is the original, i is ``pool[i − 1]``.
        probe: float32 [N, …], N ≥ 3 real images, on which tensors are told to be per image or constant.

    Raises:
        ModelError: a tensor that crosses the cut is neither per image nor constant.
    """
    graph = Graph(classifier.model)
    operator.weave(graph, layers, pool)
    features = _features(graph, probe)
    image = next(entry for entry in graph.proto.input if entry.name == IMAGES)
    scores = next(entry for entry in graph.proto.output if entry.name == LOGITS)
    names = [graph.fresh("features" if len(features) == 1 else f"features_{i}") for i in range(len(features))]
    entries = [
        _floats(name, ["images", *shape[1:]]) for name, shape in zip(names, features.values(), strict=True)
    ]
    indices = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["rows"])
        for name in (IMAGE_INDEX, MUTANT_INDEX)
    ]
    head, tail = list(graph.nodes), list(graph.nodes)
    for tensor, name in zip(features, names, strict=True):
        head.append(helper.make_node("Identity", [tensor], [name], name=name))
        gather = helper.make_node("Gather", [name, IMAGE_INDEX], [tensor], name=f"{name}_rows", axis=0)
        tail = [gather, *(node for node in tail if tensor not in node.output)]
    graph.nodes = head
    prefix = graph.subgraph([image], entries)
    graph.nodes = tail
    return Bank(prefix, graph.subgraph([*entries, *indices], [scores]))


def _features(graph: Graph, probe: NDArray[np.float32]) -> dict[str, tuple[int, ...]]:
    """Tensors that rows read and images provide, with their shapes; constant ones are folded instead."""
    rows = {MUTANT_INDEX}
    crossing: dict[str, None] = {}
    for node in graph.nodes:
        if rows.intersection(node.input):
            rows.update(node.output)
    for node in graph.nodes:
        if rows.intersection(node.output):
            crossing.update(
                dict.fromkeys(n for n in node.input if n and n not in rows | graph.constants.keys())
            )
    names = list(crossing)
    two, three, other = (tensors_at(graph, names, images) for images in (probe[:2], probe[:3], probe[1:3]))
    features = {}
    for name, value, larger, different in zip(names, two, three, other, strict=True):
        if value.dtype == np.float32 and value.shape[:1] == (2,) and larger.shape[:1] == (3,):
            features[name] = value.shape
        elif np.array_equal(value, larger) and np.array_equal(value, different):
            graph.set_constant(name, value)
            graph.nodes = [node for node in graph.nodes if name not in node.output]
        else:
            node = graph.producers()[name]
            raise refuse(
                node, "its result reaches the mutated layers but is neither one row an image nor constant"
            )
    return features


def _floats(name: str, shape: list[str | int]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
