"""Export of any mutant as a plain stand-alone ONNX classifier.

The mutant is made from the recorded choice and the original's weights.
"""

from dataclasses import dataclass

from google.protobuf.message import DecodeError
from onnx import ModelProto

from mutant_guard.bank.pool import Mutant, unpack
from mutant_guard.bank.session import IMAGES
from mutant_guard.errors import StoreError
from mutant_guard.store.reader import MUTANTS, PREFIX, WEIGHTS, Store
from mutant_store.bank.weights_file import filled
from mutant_store.graph.classifier import LOGITS
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.operators import OPERATORS


@dataclass(frozen=True)
class Mutants:
    """Mutants of a store, applied to the original one at a time.

    Attributes:
        original: the original, with input ``images`` and output ``logits``.
        layers: names of the layers that the mutants change.
        pool: the mutants; number i is ``pool[i − 1]``.
        input_name: the user's name of the image input.
        output_name: the user's name of the class scores.
    """

    original: ModelProto
    layers: list[str]
    pool: list[Mutant]
    input_name: str
    output_name: str

    def model(self, index: int, *, original_names: bool = True) -> ModelProto:
        """Return one mutant as a classifier of its own.

        Args:
            index: number of the mutant, from 1 to the size of the pool; 0 is the original.
            original_names: whether input and output get the names of the user's file; otherwise
                they are ``images`` and ``logits``.

        Raises:
            StoreError: there is no mutant of this number.
        """
        if not 0 <= index <= len(self.pool):
            raise StoreError(
                f"there is no mutant {index}; the store has 1 to {len(self.pool)}, 0 is the original"
            )
        graph = Graph(self.original)
        if index:
            layers = [layer for layer in find_layers(graph) if layer.name in self.layers]
            mutant = self.pool[index - 1]
            OPERATORS[mutant.operator].mutate(graph, Parameters(graph, layers), mutant.choice)
        if original_names:
            graph.rename(IMAGES, self.input_name)
            graph.rename(LOGITS, self.output_name)
        return graph.to_model()


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
    except (DecodeError, ValueError) as error:
        raise StoreError(f"{store.path / PREFIX} is damaged; build the store again") from error
    original = Graph(prefix)
    scores = [entry for entry in original.proto.output if entry.name == LOGITS]
    del original.proto.output[:]
    original.proto.output.extend(scores)
    return Mutants(original.to_model(), manifest.layers, pool, manifest.input_name, manifest.output_name)
