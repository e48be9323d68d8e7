"""Robust mutant of a classifier, ready to stand in a bank."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnx import ModelProto

from mutant_guard.bank.session import IMAGES
from mutant_guard.errors import ModelError
from mutant_guard.store.manifest import RobustRecord
from mutant_guard.store.reader import BOUNDS
from mutant_store.companions.class_order import in_original_order
from mutant_store.companions.companion import Companion
from mutant_store.companions.work import multiply_adds
from mutant_store.graph.classifier import LOGITS
from mutant_store.graph.graph import Graph
from mutant_store.loading.subject import Subject

if TYPE_CHECKING:
    from mutant_store.robust.trainer import RobustMutant


@dataclass(frozen=True, eq=False)
class RobustNetwork:
    """Network that stands in a bank as a robust mutant.

    Attributes:
        model: graph from ``images`` to ``logits`` of the original's kind; that of ``companion``
            where it is one.
        companion: the companion that it was trained from, with its weights; None for none.
        accuracy: share of the filter's images that it gets right.
        multiply_adds: its work for one image.
        relative_cost: that work as a multiple of the original's.
        bounds: graph of bounds on its doubts, see ``interval_graph``; None where it has none.
        trained: the network as it was trained.
    """

    model: ModelProto
    accuracy: float
    multiply_adds: float
    relative_cost: float
    bounds: ModelProto | None
    trained: "RobustMutant"
    companion: Companion | None = None

    @staticmethod
    def of(trained: "RobustMutant", subject: Subject, accuracy_ratio: float) -> "RobustNetwork":
        """Return a trained network as a mutant of the subject.

        Args:
            trained: the network.
            subject: the original and its images.
            accuracy_ratio: least accuracy as a share of the original's, on the filter's images.

        Raises:
            ModelError: the network is not accurate enough, or its answers cannot be bounded though
                it was trained for that.
        """
        part = subject.filter
        companion = trained.companion
        scores = part.inputs.of_view(companion.view if companion else 0).scores(trained.classifier.scores)
        right = companion.labels(scores, part.labels) if companion else scores.argmax(axis=1) == part.labels
        accuracy = float(right.mean())
        original = float(part.correct.mean())
        if accuracy < accuracy_ratio * original:
            raise ModelError(
                f"a robust mutant gets {accuracy:.1%} of the filter's images right, the original {original:.1%}: it "
                "would doubt too many clean images; train it longer (--robust-epochs), against smaller changes "
                "(--robust-epsilon), or lower --accuracy-ratio"
            )
        if companion is not None:
            own = replace(companion, classifier=trained.classifier, accuracy=accuracy, taught=None)
            model, _ = own.tail(subject.classifier.output_kind)
            return RobustNetwork(model, accuracy, own.multiply_adds, own.relative_cost, None, trained, own)
        model = in_original_order(
            trained.classifier.model, trained.classifier.output_kind, None, subject.classifier.output_kind
        )
        graph = Graph(model)
        graph.rename(graph.output_names[0], LOGITS)
        shape = subject.probe.shape[1:]
        work = multiply_adds(trained.classifier.model, shape)
        whole = multiply_adds(subject.classifier.model, shape)
        bounds = None
        if trained.certified:
            from mutant_store.certifying.interval_graph import interval_graph

            bounds = interval_graph(trained.classifier.model)
        return RobustNetwork(
            graph.to_model(), accuracy, work, work / whole if whole else 0.0, bounds, trained
        )

    def tail(self, feature: str) -> ModelProto:
        """Return its graph in a bank, which reads the original's images under a feature's name.

        One that was trained from a companion stands there as that one does, see ``Companion.tail``.
        """
        graph = Graph(self.model)
        graph.rename(IMAGES, feature)
        return graph.to_model()

    def record(self, mutant: int, companions: Sequence[Companion]) -> RobustRecord:
        """Return its record in the manifest, as the mutant of a number.

        Args:
            mutant: the number.
            companions: the companions, which are the mutants from number 1 on.
        """
        basis = self.trained.companion
        return RobustRecord(
            mutant=mutant,
            network=self.trained.network,
            recipe=self.trained.recipe,
            data=self.trained.data,
            companion=None if basis is None else 1 + companions.index(basis),
            accuracy=self.trained.accuracy,
            robust_accuracy=self.trained.robust_accuracy,
            multiply_adds=self.multiply_adds,
            relative_cost=self.relative_cost,
            certified=self.trained.certified,
            bounds=None if self.bounds is None else BOUNDS.format(mutant),
        )
