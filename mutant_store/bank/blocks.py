"""Blocks of a classifier, between tensors through which all that comes later has to pass.

Such a tensor is a **cut**. What lies before it can run once for an image, for the original and all
mutants. Blocks have names of ours, since exporters often give names that nobody can read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from onnx import ModelProto, TensorProto, helper

from mutant_guard.bank.session import IMAGES, open_session, run_session
from mutant_guard.errors import ModelError
from mutant_store.graph.activations import Activations
from mutant_store.graph.classifier import LOGITS
from mutant_store.graph.graph import Graph, reads
from mutant_store.graph.neurons import Layer
from mutant_store.graph.parameters import Parameters

_NAME = re.compile(r"block ([1-9][0-9]*)")
_PROPOSED = 1 / 3
"""Largest share of the multiply-adds behind the cut that is proposed."""
_HARDLY_LESS = 0.9
_RUNS = 3


@dataclass(frozen=True)
class Block:
    """Block of a classifier, from its cut to the next.

    Attributes:
        name: ``block N``, counted from 1.
        cut: tensor that it begins with; ``images`` for the first block.
        shape: shape of that tensor for one image.
        layers: its layers, at least one.
        share: share of the classifier's multiply-adds from its cut on, from 0 to 1; 1 for the first
            block.
    """

    name: str
    cut: str
    shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    share: float

    @property
    def values(self) -> int:
        """Number of values of the cut for one image."""
        return int(np.prod(self.shape))


def find_blocks(activations: Activations, layers: list[Layer]) -> list[Block]:
    """Return the blocks of a classifier, from its images to its scores.

    The first block begins with the images. Of several cuts with no layer between them, the smallest
    begins a block, and of equal ones the last.

    Args:
        activations: inner tensors of the classifier.
        layers: all of its layers.

    Raises:
        ModelError: the rows of a layer are not images; the message names it.
    """
    parameters = Parameters(activations.graph, activations.measured(layers))
    work = [parameters.products(position) for position in range(len(parameters.layers))]
    chosen: dict[int, tuple[str, tuple[int, ...]]] = {}
    for cut, behind in _cuts(activations):
        first = _first_behind(parameters.layers, behind)
        shape = activations.shape(cut)
        if first is None or shape is None:
            continue
        if first not in chosen or (first and np.prod(shape) <= np.prod(chosen[first][1])):
            chosen[first] = cut, shape
    starts = sorted(chosen)
    return [
        Block(
            f"block {number}",
            *chosen[start],
            tuple(parameters.layers[start:stop]),
            sum(work[start:]) / sum(work),
        )
        for number, (start, stop) in enumerate(zip(starts, [*starts[1:], len(work)], strict=True), 1)
    ]


def proposed(blocks: Sequence[Block]) -> Block:
    """Return the block for a third of the multiply-adds, see ``last_share``."""
    return last_share(blocks, _PROPOSED)


def last_share(blocks: Sequence[Block], share: float) -> Block:
    """Return the first block from which on at most this share of the multiply-adds is left.

    A block is passed over if a later one begins with a smaller feature and has hardly less left,
    as within the wide middle of an inverted residual. The last block is returned where even that
    has more left.
    """
    fitting = [block for block in blocks if block.share <= share] or list(blocks[-1:])
    for number, block in enumerate(fitting):
        later = [other for other in fitting[number:] if other.share >= _HARDLY_LESS * block.share]
        if block.values <= min(other.values for other in later):
            return block
    return fitting[-1]


def named(blocks: Sequence[Block], name: str) -> Block:
    """Return the block of a name, or the one that holds the layer of that name.

    Raises:
        ModelError: there is none.
    """
    for block in blocks:
        if name in (block.name, *(layer.name for layer in block.layers)):
            return block
    raise ModelError(
        f"the classifier has no '{name}': its blocks are {blocks[0].name} to {blocks[-1].name}, which "
        "mutant-store layers lists; the name of one of their layers does as well"
    )


def layers_from(blocks: Sequence[Block], first: Block) -> list[Layer]:
    """Return the layers of a block and of all blocks behind it."""
    return [layer for block in blocks[blocks.index(first) :] for layer in block.layers]


@dataclass(frozen=True)
class LayerChoice:
    """Choice of the layers that mutants change; of the three ways at most one is taken.

    Attributes:
        pattern: regular expression of the names of layers, or the name of one block.
        first: name of a block, or of one of its layers; that block and all behind it are chosen.
        last: largest share of the multiply-adds, in (0, 1], that lies in the blocks chosen.
    """

    pattern: str = ""
    first: str | None = None
    last: float | None = None

    def __post_init__(self) -> None:
        given = {"--layers": self.pattern, "--from": self.first, "--last": self.last}
        said = [option for option, value in given.items() if value not in ("", None)]
        if len(said) > 1:
            raise ModelError(f"{' and '.join(said)} choose the layers in different ways; give one of them")

    @property
    def expression(self) -> str:
        """Regular expression for ``select_layers``; it matches all where blocks are chosen."""
        return "" if _NAME.fullmatch(self.pattern) else self.pattern

    def of(self, activations: Activations, layers: list[Layer]) -> list[Layer]:
        """Return the chosen layers.

        Args:
            activations: inner tensors of the classifier.
            layers: layers that ``expression`` matches.

        Raises:
            ModelError: there is no such block, or the rows of a layer are not images.
        """
        if self.pattern == self.expression and self.first is None and self.last is None:
            return layers
        blocks = find_blocks(activations, layers)
        if self.first is not None:
            return layers_from(blocks, named(blocks, self.first))
        if self.last is not None:
            return layers_from(blocks, last_share(blocks, self.last))
        return list(named(blocks, self.pattern).layers)


def section(activations: Activations, start: str, stop: str) -> ModelProto:
    """Return the part of a classifier between two tensors as a graph of its own.

    Args:
        activations: inner tensors of the classifier.
        start: the cut that the part begins with; ``images`` for the classifier's own input.
        stop: a later cut, or ``logits``.

    Returns:
        Graph from ``images`` [batch, …], which holds what ``start`` does, to ``logits``.
    """
    graph = Graph(activations.graph.to_model())
    for name in activations.names:
        if (value := activations.constant(name)) is not None:
            graph.set_constant(name, value)
            graph.nodes = [node for node in graph.nodes if name not in node.output]
    graph.nodes = [node for node in graph.nodes if start not in node.output]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *(activations.shape(name) or ())])
        for name in (start, stop)
    ]
    part = Graph(graph.subgraph(ends[:1], ends[1:]))
    part.rename(start, IMAGES)
    part.rename(stop, LOGITS)
    return part.to_model()


def seconds_from(activations: Activations, blocks: Sequence[Block]) -> list[float]:
    """Measure the seconds that one core takes for an image from the cut of each block on.

    Each block is run alone, a few times, and its fastest run counts.
    """
    taken = []
    stops = [*(block.cut for block in blocks[1:]), LOGITS]
    for block, stop in zip(blocks, stops, strict=True):
        session = open_session(section(activations, block.cut, stop).SerializeToString(), threads=1)
        image = activations.images(block.cut)[:1]
        run_session(session, IMAGES, image)
        runs = []
        for _ in range(_RUNS):
            started = perf_counter()
            run_session(session, IMAGES, image)
            runs.append(perf_counter() - started)
        taken.append(min(runs))
    return [sum(taken[number:]) for number in range(len(taken))]


def _cuts(activations: Activations) -> list[tuple[str, set[str]]]:
    """Return the tensors that all paths to the scores pass, in order, with all that depends on each."""
    graph = activations.graph
    varying = {name for name in [IMAGES, *activations.names] if activations.constant(name) is None}
    nodes = [node for node in graph.nodes if varying.intersection(node.output)]
    inputs = [varying.intersection(reads(node)) for node in nodes]
    producer = {name: number for number, node in enumerate(nodes) for name in node.output if name}
    path = [LOGITS]
    while path[-1] != IMAGES:  # all cuts lie on any path
        before = inputs[producer[path[-1]]]
        path.append(min(before, key=lambda name: producer.get(name, -1)))
    found = []
    for cut in path[:0:-1]:
        behind = {cut}
        whole = True
        for node, read in zip(nodes, inputs, strict=True):
            if behind & read:
                behind.update(node.output)
                whole = whole and read <= behind
        if whole and LOGITS in behind:
            found.append((cut, behind - {cut}))
    return found


def _first_behind(layers: Sequence[Layer], behind: set[str]) -> int | None:
    """Return the position of the first layer behind a cut.

    It is None where there is none, or where a layer has weights that are used on both sides.
    """
    sides = [{use.node in behind for use in layer.uses} for layer in layers]
    if any(len(side) > 1 for side in sides) or {True} not in sides:
        return None
    return sides.index({True})
