"""Any mutant as a plain stand-alone ONNX classifier, from the recorded choices and the original's weights."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto
from safetensors.numpy import load_file

from mutant_store.classifier import LOGITS
from mutant_store.errors import StoreError
from mutant_store.graph import Graph
from mutant_store.neurons import find_layers
from mutant_store.operators import operator_named
from mutant_store.reader import MUTANTS, ORIGINAL, Store
from mutant_store.session import IMAGES

CHOICES = "choices"


@dataclass(frozen=True)
class Mutants:
    """A store's mutants, to be applied to the original one at a time. ``layers``: names of those they change."""

    original: ModelProto
    operator: str
    layers: list[str]
    choices: NDArray[np.int32]
    input_name: str
    output_name: str

    def model(self, index: int, *, original_names: bool = True) -> ModelProto:
        """Mutant ``index`` as a classifier of its own; 0 is the original.

        Args:
            index: 0 to the number of mutants.
            original_names: name input and output as the user's file did, else ``images`` and ``logits``.

        Raises:
            StoreError: there is no such mutant.
        """
        if not 0 <= index <= len(self.choices):
            raise StoreError(
                f"there is no mutant {index}; the store has 1 to {len(self.choices)}, 0 is the original"
            )
        graph = Graph(self.original)
        if index:
            layers = [layer for layer in find_layers(graph) if layer.name in self.layers]
            operator_named(self.operator).mutate(graph, layers, self.choices[index - 1])
        if original_names:
            graph.rename(IMAGES, self.input_name)
            graph.rename(LOGITS, self.output_name)
        return graph.to_model()


def open_mutants(store: Store) -> Mutants:
    """The mutants of a verified store version."""
    manifest = store.manifest
    choices: NDArray[np.int32] = load_file(_file(store.path, MUTANTS))[CHOICES]
    original = onnx.load(_file(store.path, ORIGINAL))
    names = manifest.input_name, manifest.output_name
    return Mutants(original, manifest.operator, manifest.layers, choices, *names)


def _file(directory: Path, name: str) -> Path:
    path = directory / name
    if not path.exists():
        raise StoreError(
            f"{path} is missing: this copy of the store serves, but does not export; take the full one"
        )
    return path
