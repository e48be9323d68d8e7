"""Companion of a classifier, ready to stand in a bank."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from mutant_guard.bank.session import IMAGES
from mutant_guard.bank.views import view_name
from mutant_guard.store.choices import OutputKind
from mutant_guard.store.manifest import CompanionRecord, InputSpec, RetrainRecord
from mutant_store.companions.class_order import in_original_order
from mutant_store.graph.classifier import Classifier
from mutant_store.graph.graph import Graph


@dataclass(frozen=True, eq=False)
class Companion:
    """Another classifier of the original's classes.

    Attributes:
        name: name that it was given by.
        classifier: its graph.
        input: pixels that it takes.
        view: number of the view that it reads.
        to_companion: int64 [classes], its class for each class of the original, −1 for none; None
            where both have the same classes in the same order.
        outputs: number of its classes.
        accuracy: share of the filter's images that it gets right.
        multiply_adds: its work for one image.
        relative_cost: that work as a multiple of the original's.
        taught: record of its teaching; None where it was not taught.
        notes: lines for the user on what was seen and decided.
    """

    name: str
    classifier: Classifier
    input: InputSpec
    view: int
    to_companion: NDArray[np.int64] | None
    outputs: int
    accuracy: float
    multiply_adds: float
    relative_cost: float
    taught: RetrainRecord | None = None
    notes: tuple[str, ...] = ()

    def tail(self, original_kind: OutputKind) -> tuple[ModelProto, list[str]]:
        """Return its graph in the bank of an original, and the names of that graph's inputs.

        Args:
            original_kind: kind of the original's scores.
        """
        model = in_original_order(
            self.classifier.model, self.classifier.output_kind, self.to_companion, original_kind
        )
        graph = Graph(model)
        graph.rename(IMAGES, view_name(self.view))
        return graph.to_model(), graph.input_names

    def labels(self, scores: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return where its own answers are the given labels of the original, bool [N].

        Args:
            scores: float32 [N, its classes], its scores.
            labels: int64 [N], labels in the original's order.
        """
        wanted = labels if self.to_companion is None else self.to_companion[labels]
        return np.asarray(scores.argmax(axis=1) == wanted)

    def record(self, mutant: int) -> CompanionRecord:
        """Return its record in the manifest, as the mutant of a number."""
        own = self.classifier
        return CompanionRecord(
            source=self.name,
            mutant=mutant,
            input=self.input,
            input_name=own.input_name,
            output_name=own.output_name,
            output_kind=own.output_kind,
            outputs=self.outputs,
            class_map=None if self.to_companion is None else self.to_companion.tolist(),
            multiply_adds=self.multiply_adds,
            relative_cost=self.relative_cost,
            taught=self.taught,
        )

    def taught_as(self, model: ModelProto, record: RetrainRecord) -> "Companion":
        """Return this companion with other weights: a graph of the same ends, and how it was taught."""
        return replace(self, classifier=replace(self.classifier, model=model), taught=record)
