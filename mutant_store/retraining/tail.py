"""Parts of the original before and behind the cut where tails begin."""

from dataclasses import dataclass, replace

from mutant_guard.bank.session import IMAGES, open_session, run_session
from mutant_guard.errors import ModelError
from mutant_store.bank.blocks import find_blocks, section
from mutant_store.graph.activations import Activations
from mutant_store.graph.classifier import LOGITS
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.loading.subject import Subject
from mutant_store.networks.conversion import Converted, converted
from mutant_store.retraining.job import TailPart


@dataclass(frozen=True)
class TailGraphs:
    """Graphs of the original before and behind a cut.

    Attributes:
        prefix: graph from ``images`` to the feature, serialised.
        tail: graph from the feature, named ``images``, to ``logits``, serialised.
        shape: shape of the feature for one image.
        layers: number of layers behind the cut.
        architecture: maker of the tail as a network.
    """

    prefix: bytes
    tail: bytes
    shape: tuple[int, ...]
    layers: int
    architecture: Converted

    @staticmethod
    def of(subject: Subject) -> "TailGraphs | None":
        """Cut the original before the first layer that mutants change.

        Args:
            subject: the original; the layers that mutants change are all of those behind a cut.

        Returns:
            The graphs, or None where mutants change all layers or none.

        Raises:
            ModelError: the layers are others, or the tail cannot be converted to torch.
        """
        if not subject.layers:
            return None
        layers = find_layers(Graph(subject.classifier.model))
        if len(layers) == len(subject.layers):
            return None
        activations = Activations(subject.classifier, subject.probe)
        chosen = [layer.name for layer in subject.layers]
        for block in find_blocks(activations, layers):
            if block.layers[0].name == chosen[0]:
                break
        if [layer.name for layer in layers[-len(chosen) :]] != chosen or block.layers[0].name != chosen[0]:
            raise ModelError("tails hold all layers from a block on: choose them with --from or --last")
        prefix = section(activations, IMAGES, block.cut).SerializeToString(deterministic=True)
        tail = section(activations, block.cut, LOGITS)
        (features,) = run_session(open_session(prefix), IMAGES, subject.probe)
        part = replace(subject.classifier, model=tail, input_shape=block.shape)
        _, architecture = converted(part, "nchw", features)
        content = tail.SerializeToString(deterministic=True)
        return TailGraphs(prefix, content, block.shape, len(chosen), architecture)

    def part(self, subject: Subject) -> TailPart:
        """Return what a job has to know of the tail."""
        return TailPart(self.architecture, subject.input)
