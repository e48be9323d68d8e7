"""Mutant bank: graphs that evaluate any mix of (image, mutant) rows in few batches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.pool import Mutant, is_whole
from mutant_guard.bank.session import IMAGES
from mutant_guard.bank.shared_tail import IMAGE_INDEX
from mutant_guard.bank.tail import TailRecord
from mutant_guard.store.reader import ROBUST
from mutant_store.bank.entries import entry_points
from mutant_store.bank.free_parameters import bind_parameters, free_parameters
from mutant_store.bank.hoisting import Hoisted, hoist
from mutant_store.companions.companion import Companion
from mutant_store.graph.activations import Activations
from mutant_store.graph.classifier import LOGITS, Classifier, refuse
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import Layer
from mutant_store.graph.parameters import Parameters
from mutant_store.graph.row_bytes import note_row_bytes
from mutant_store.operators import OPERATORS
from mutant_store.operators.base import MUTANT_INDEX, SharedWeights
from mutant_store.operators.given import GivenNetworks, number_of
from mutant_store.robust.robust_network import RobustNetwork

_WEAVERS = {name: operator for name, operator in OPERATORS.items() if isinstance(operator, SharedWeights)}


class Weights(Enum):
    """Kind of a mutant's weights: the original's, the original's in part, or all its own.

    A ``PATCHED`` mutant has the original's weights with some overwritten. One with its ``OWN_GRAPH``
    has nothing of the original: it is a companion or a robust mutant.
    """

    SHARED = auto()
    PATCHED = auto()
    WHOLE = auto()
    OWN_GRAPH = auto()

    @staticmethod
    def of(mutant: Mutant) -> "Weights":
        """Return the kind of a mutant's weights."""
        if mutant.operator in _WEAVERS:
            return Weights.SHARED
        if isinstance(OPERATORS[mutant.operator], GivenNetworks):
            return Weights.OWN_GRAPH
        return Weights.WHOLE if is_whole(mutant.choice) else Weights.PATCHED


@dataclass(frozen=True)
class TailModel:
    """Part of the classifier behind one entry point, and the mutants that enter there.

    Attributes:
        model: graph that reads the prefix's features. With shared weights it takes a batch of any
            rows. Otherwise it takes images of one mutant, whose parameters are inputs too, or a
            constant that is given when the model is loaded.
        weights: kind of the mutants' weights.
        features: names under which the prefix gives out what the tail reads, or of views.
        mutants: numbers of the mutants, ascending.
    """

    model: ModelProto
    weights: Weights
    features: list[str]
    mutants: list[int]

    @property
    def shared(self) -> bool:
        """Whether the mutants share the original's weights."""
        return self.weights is Weights.SHARED


@dataclass(frozen=True)
class Bank:
    """Bank of a pool: the prefix, the tails behind it, and what they are made from.

    Attributes:
        prefix: the original, from images [R, …] to the features of every tail and ``logits``.
        tails: models that continue from these features, one per entry point and kind of weights.
        pool: the mutants; number i is ``pool[i − 1]``.
        parameters: parameters of the original.
    """

    prefix: ModelProto
    tails: list[TailModel]
    pool: list[Mutant]
    parameters: Parameters

    def session(self, threads: int = 0, *, beside: int = 1) -> BankSession:
        """Load the bank on the CPU.

        Args:
            threads: CPU threads; 0 takes all cores.
            beside: number of banks that run at a time, see ``BankSession``.
        """
        records = [
            TailRecord(
                model=note_row_bytes(tail.model).SerializeToString(),
                shared=tail.shared,
                features=tail.features,
                mutants=tail.mutants,
                own_graph=tail.weights is Weights.OWN_GRAPH,
            )
            for tail in self.tails
        ]
        return BankSession(
            note_row_bytes(self.prefix).SerializeToString(),
            records,
            pool=self.pool,
            parameters=self.parameters.values,
            threads=threads,
            beside=beside,
        )


def build_bank(
    classifier: Classifier, layers: list[Layer], pool: list[Mutant], probe: NDArray[np.float32]
) -> Bank:
    """Build the bank of a pool.

    ``BankBuilder`` builds several banks of one classifier faster.

    Args:
        classifier: the original.
        layers: layers that the mutants change.
        pool: the mutants; mutant 0 of the bank is the original, mutant i is ``pool[i − 1]``.
        probe: float32 [N, …], N ≥ 3 real images, which show whether a tensor is per image or
            constant.

    Raises:
        ModelError: a tensor that crosses an entry point is neither per image nor constant.
    """
    return BankBuilder(classifier, layers, Activations(classifier, probe)).build(pool)


class BankBuilder:
    """Builder of banks of one classifier.

    Work that does not depend on the mutants of a tail goes into the prefix and runs once per image.
    Where weights are shared, this includes the product of the first mutated layer. The rest runs
    once per row: its features are gathered by image, its mutations by mutant.

    Attributes:
        parameters: parameters of the layers.
    """

    def __init__(
        self,
        classifier: Classifier,
        layers: list[Layer],
        activations: Activations,
        companions: Sequence[Companion] = (),
        robust: Sequence[RobustNetwork] = (),
    ) -> None:
        """Measure the layers.

        Args:
            classifier: the original.
            layers: layers that the mutants change.
            activations: inner tensors of the classifier on real images.
            companions: companions that mutants of that operator name by number.
            robust: robust networks, named in the same way.

        Raises:
            ModelError: the rows of a layer are not images; the message names it.
        """
        self._classifier, self._activations, self._companions = classifier, activations, companions
        self._robust, self._image_shape = robust, activations.image_shape
        self.parameters = Parameters(activations.graph, activations.measured(layers))

    def build(self, pool: list[Mutant]) -> Bank:
        """Build the bank of a pool of at least one mutant.

        Raises:
            ModelError: a tensor that crosses an entry point is neither per image nor constant.
        """
        prefix = _Prefix(self._classifier, self._activations.classes)
        tails = [
            self._tail(pool, mutants, entry, prefix, weights)
            for weights in (Weights.SHARED, Weights.PATCHED, Weights.WHOLE)
            for entry, mutants in self._entries(pool, weights)
        ]
        tails += self._own_graphs(pool, prefix)
        return Bank(prefix.model(), tails, pool, self.parameters)

    def _own_graphs(self, pool: list[Mutant], prefix: "_Prefix") -> Iterable[TailModel]:
        for number, mutant in enumerate(pool, 1):
            if Weights.of(mutant) is not Weights.OWN_GRAPH:
                continue
            place = number_of(mutant.choice)
            robust = self._robust[place] if mutant.operator == ROBUST else None
            companion = self._companions[place] if robust is None else robust.companion
            if companion is not None:
                model, inputs = companion.tail(self._classifier.output_kind)
            elif robust is not None:
                inputs = [prefix.feature(IMAGES, self._image_shape)]
                model = robust.tail(*inputs)
            yield TailModel(model, Weights.OWN_GRAPH, inputs, [number])

    def _entries(self, pool: list[Mutant], weights: Weights) -> Iterable[tuple[int, list[int]]]:
        """Yield the entry points of the mutants with one kind of weights, each with its mutants."""
        numbers = [n for n, mutant in enumerate(pool, 1) if Weights.of(mutant) is weights]
        if not numbers:
            return
        first = np.array(
            [
                OPERATORS[pool[n - 1].operator].first_layer(self.parameters, pool[n - 1].choice)
                for n in numbers
            ]
        )
        entries = entry_points(self.parameters, first, shared=weights is Weights.SHARED)
        own = np.searchsorted(entries, first, side="right") - 1
        for position, entry in enumerate(entries):
            yield entry, [number for number, at in zip(numbers, own, strict=True) if at == position]

    def _tail(
        self, pool: list[Mutant], mutants: list[int], entry: int, prefix: "_Prefix", weights: Weights
    ) -> TailModel:
        graph = Graph(self._classifier.model)
        shared = weights is Weights.SHARED
        if shared:
            inputs = self._weave(graph, [pool[number - 1] for number in mutants])
        else:
            inputs = free_parameters(graph, self.parameters, entry)
        sources = {entry.name for entry in inputs} - {IMAGE_INDEX}
        features = {}
        if shared and (hoisted := self._hoist(graph, sources, prefix)):
            name = prefix.computed(hoisted)
            graph.rename(hoisted.tensor, name)
            features[name] = hoisted.shape
        for tensor, shape in self._crossing(graph, sources, set(features)).items():
            name = prefix.feature(tensor, shape)
            graph.nodes = [node for node in graph.nodes if tensor not in node.output]
            take = ("Gather", [name, IMAGE_INDEX]) if shared else ("Identity", [name])
            graph.nodes.insert(0, helper.make_node(*take, [tensor], name=f"{name}_rows"))
            features[name] = shape
        entries = [
            _floats(name, ["images" if shared else "rows", *shape]) for name, shape in features.items()
        ]
        scores = [entry for entry in graph.proto.output if entry.name == LOGITS]
        if weights is Weights.WHOLE:
            bind_parameters(graph, self.parameters, entry, inputs)
            inputs = []
        return TailModel(graph.subgraph([*entries, *inputs], scores), weights, list(features), mutants)

    def _hoist(self, graph: Graph, sources: set[str], prefix: "_Prefix") -> Hoisted | None:
        rows = _dependents(graph, sources)
        return hoist(graph, rows, self._activations.shape, f"entry_{len(prefix.features)}")

    def _weave(self, graph: Graph, members: list[Mutant]) -> list[ValueInfoProto]:
        for name in sorted({mutant.operator for mutant in members}):
            choices = [mutant.choice if mutant.operator == name else None for mutant in members]
            _WEAVERS[name].weave(graph, self.parameters, [None, *choices])
        return [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["rows"])
            for name in (IMAGE_INDEX, MUTANT_INDEX)
        ]

    def _crossing(self, graph: Graph, sources: set[str], known: set[str]) -> dict[str, tuple[int, ...]]:
        """Return the shapes, by name, of the tensors that rows read and images provide.

        Constant tensors are folded into the graph instead. ``known`` holds tensors that are
        features already. A tensor that an operator inserted is never shared: nothing is known about
        it.
        """
        own = {name for node in graph.nodes for name in node.output if name not in self._activations.names}
        rows = _dependents(graph, sources | known | {IMAGE_INDEX} | own)
        crossing: dict[str, None] = {}
        for node in graph.nodes:
            if rows.intersection(node.output):
                crossing.update(
                    dict.fromkeys(n for n in node.input if n and n not in rows | graph.constants.keys())
                )
        features = {}
        for name in crossing:
            shape, value = self._activations.shape(name), self._activations.constant(name)
            if shape is not None:
                features[name] = shape
            elif value is not None:
                graph.set_constant(name, value)
                graph.nodes = [node for node in graph.nodes if name not in node.output]
            else:
                raise refuse(
                    graph.producers()[name],
                    "its result reaches the mutated layers but is neither one row an image nor constant",
                )
        return features


class _Prefix:
    """The original, and the names under which the tails read its tensors."""

    def __init__(self, classifier: Classifier, classes: int) -> None:
        self._graph = Graph(classifier.model)
        self._classes = classes
        self._tensors: dict[str, str] = {}
        self.features: dict[str, tuple[int, ...]] = {}

    def feature(self, tensor: str, shape: tuple[int, ...]) -> str:
        """Return the name under which a tensor is given out."""
        if tensor not in self._tensors:
            self._tensors[tensor] = f"features_{len(self.features)}"
            self.features[self._tensors[tensor]] = shape
        return self._tensors[tensor]

    def computed(self, hoisted: Hoisted) -> str:
        """Add the nodes of a hoisted tensor, and return the name under which it is given out."""
        self._graph.nodes.extend(hoisted.nodes)
        return self.feature(hoisted.tensor, hoisted.shape)

    def model(self) -> ModelProto:
        """Return the model from images [R, …] to features and the original's scores."""
        graph = self._graph
        image = next(entry for entry in graph.proto.input if entry.name == IMAGES)
        for tensor, name in self._tensors.items():
            graph.nodes.append(helper.make_node("Identity", [tensor], [name], name=name))
        outputs = [_floats(name, ["batch", *shape]) for name, shape in self.features.items()]
        scores = _floats(LOGITS, ["batch", self._classes])
        return graph.subgraph([image], [*outputs, scores])


def _dependents(graph: Graph, sources: set[str]) -> set[str]:
    """Return the sources and every tensor computed from them."""
    found = set(sources)
    for node in graph.nodes:
        if found.intersection(node.input):
            found.update(node.output)
    return found


def _floats(name: str, shape: list[str | int]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
