"""Export of any mutant as a plain stand-alone ONNX classifier.

The mutant is made from the recorded choice and the original's weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, helper

from mutant_guard.bank.pool import Mutant, unpack
from mutant_guard.bank.session import IMAGES
from mutant_guard.bank.views import view_name, view_number
from mutant_guard.errors import StoreError
from mutant_guard.store.manifest import CompanionRecord
from mutant_guard.store.reader import COMPANION, MUTANTS, PREFIX, ROBUST, WEIGHTS, Store
from mutant_store.bank.builder import Bank
from mutant_store.bank.weights_file import filled
from mutant_store.companions.class_order import COMPANION_SCORES
from mutant_store.companions.companion import Companion
from mutant_store.graph.classifier import LOGITS, Classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import Layer, find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.operators import OPERATORS
from mutant_store.operators.given import number_of
from mutant_store.robust.robust_network import RobustNetwork


@dataclass(frozen=True)
class OwnGraph:
    """Graph of a companion in the bank, with the record of its file's own ends.

    A robust mutant that was trained from a companion has such a graph as well.

    Attributes:
        model: the graph, which reads view number ``view``, and ``logits`` of the original where
            several classes of the original share one of its own.
        view: number of the view that it reads.
        record: record in the manifest of the companion, or of that which training started from.
    """

    model: ModelProto
    view: int
    record: CompanionRecord

    def plain(self, *, original_names: bool) -> ModelProto:
        """Return a classifier that reads images alone.

        Its classes are the original's, or its own where several of the original share one.

        Args:
            original_names: whether input and output get the names of the companion's file.
        """
        graph = Graph(self.model)
        (result,) = graph.output_names
        if LOGITS in graph.input_names:
            result = next(name for name in graph.names if name.startswith(COMPANION_SCORES))
            entry = helper.make_tensor_value_info(result, TensorProto.FLOAT, ["batch", self.record.outputs])
            source = [entry for entry in graph.proto.input if entry.name != LOGITS]
            graph = Graph(graph.subgraph(source, [entry]))
        graph.rename(view_name(self.view), self.record.input_name if original_names else IMAGES)
        graph.rename(result, self.record.output_name if original_names else LOGITS)
        return graph.to_model()


@dataclass(frozen=True)
class Mutants:
    """Mutants of a store, applied to the original one at a time.

    Attributes:
        original: the original, with input ``images`` and output ``logits``.
        layers: names of the layers that the mutants change.
        pool: the mutants; number i is ``pool[i − 1]``.
        input_name: the user's name of the image input.
        output_name: the user's name of the class scores.
        companions: graphs of the mutants that are companions, or were trained from one, by number.
        robust: graphs from ``images`` to ``logits`` of the other robust mutants, by number.
    """

    original: ModelProto
    layers: list[str]
    pool: list[Mutant]
    input_name: str
    output_name: str
    companions: Mapping[int, OwnGraph] = field(default_factory=dict)
    robust: Mapping[int, ModelProto] = field(default_factory=dict)

    def model(self, index: int, *, original_names: bool = True) -> ModelProto:
        """Return one mutant as a classifier of its own.

        Args:
            index: number of the mutant, from 1 to the size of the pool; 0 is the original.
            original_names: whether input and output get the names of the user's file, a companion's
                those of its own; otherwise they are ``images`` and ``logits``.

        Raises:
            StoreError: there is no mutant of this number.
        """
        if not 0 <= index <= len(self.pool):
            raise StoreError(
                f"there is no mutant {index}; the store has 1 to {len(self.pool)}, 0 is the original"
            )
        if index in self.companions:
            return self.companions[index].plain(original_names=original_names)
        graph = Graph(self.robust.get(index, self.original))
        if index and index not in self.robust:
            layers = [layer for layer in find_layers(graph) if layer.name in self.layers]
            mutant = self.pool[index - 1]
            OPERATORS[mutant.operator].mutate(graph, Parameters(graph, layers), mutant.choice)
        if original_names:
            graph.rename(IMAGES, self.input_name)
            graph.rename(LOGITS, self.output_name)
        return graph.to_model()


def mutants_of(
    bank: Bank,
    classifier: Classifier,
    layers: Sequence[Layer],
    companions: Sequence[Companion],
    robust: Sequence[RobustNetwork],
) -> Mutants:
    """Return the mutants of a bank that was just built.

    Args:
        bank: the bank.
        classifier: the original.
        layers: layers that the mutants change.
        companions: companions that mutants of the bank name by number.
        robust: robust networks, named in the same way.
    """
    graphs, own = {}, {}
    for tail in bank.tails:
        (number, *_) = tail.mutants
        mutant = bank.pool[number - 1]
        companion = None
        if mutant.operator == COMPANION:
            companion = companions[number_of(mutant.choice)]
        elif mutant.operator == ROBUST:
            network = robust[number_of(mutant.choice)]
            companion = network.companion
            if companion is None:
                graphs[number] = network.model
        if companion is not None:
            own[number] = OwnGraph(tail.model, companion.view, companion.record(number))
    names = [layer.name for layer in layers]
    ends = classifier.input_name, classifier.output_name
    return Mutants(classifier.model, names, bank.pool, *ends, own, graphs)


def open_mutants(store: Store) -> Mutants:
    """Read the mutants of a verified store version.

    Raises:
        StoreError: a file that an export needs is missing, changed or damaged.
    """
    manifest = store.manifest
    weights = store.read(WEIGHTS) if WEIGHTS in manifest.files else b""
    pool = unpack(store.arrays(MUTANTS))
    try:
        prefix = filled(ModelProto.FromString(store.read(PREFIX)), WEIGHTS, weights)
        companions, robust = dict(_companions(store, weights)), dict(_robust(store, weights))
    except (DecodeError, ValueError) as error:
        raise StoreError(f"{store.path / PREFIX} is damaged; build the store again") from error
    original = Graph(prefix)
    scores = [entry for entry in original.proto.output if entry.name == LOGITS]
    del original.proto.output[:]
    original.proto.output.extend(scores)
    return Mutants(
        original.to_model(),
        manifest.layers,
        pool,
        manifest.input_name,
        manifest.output_name,
        companions,
        robust,
    )


def _companions(store: Store, weights: bytes) -> Iterator[tuple[int, OwnGraph]]:
    records = {record.mutant: record for record in store.manifest.companions}
    for robust in store.manifest.robust:
        if robust.companion is not None:
            records[robust.mutant] = records[robust.companion]
    for tail in store.manifest.bank:
        if tail.own_graph and tail.mutants[0] in records:
            (number,) = tail.mutants
            view = next(filter(None, map(view_number, tail.features)))
            model = filled(ModelProto.FromString(store.read(tail.file)), WEIGHTS, weights)
            yield number, OwnGraph(model, view, records[number])


def _robust(store: Store, weights: bytes) -> Iterator[tuple[int, ModelProto]]:
    numbers = {record.mutant for record in store.manifest.robust if record.companion is None}
    for tail in store.manifest.bank:
        if tail.own_graph and tail.mutants[0] in numbers:
            (number,), (feature,) = tail.mutants, tail.features
            graph = Graph(filled(ModelProto.FromString(store.read(tail.file)), WEIGHTS, weights))
            graph.rename(feature, IMAGES)
            yield number, graph.to_model()
