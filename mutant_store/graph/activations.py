"""Inner tensors of a classifier on real images.

Whether a tensor has one row per image is measured and not inferred.
"""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from mutant_guard.bank.session import IMAGES, open_session, run_session
from mutant_store.graph.classifier import Classifier, refuse
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import Layer

_Values = dict[str, NDArray[Any]]


class Activations:
    """Values of every inner tensor for a few batches of real images.

    Attributes:
        graph: graph of the classifier.
        names: names of the tensors.
    """

    def __init__(self, classifier: Classifier, probe: NDArray[np.float32]) -> None:
        """Keep the classifier and the images; nothing is run yet.

        Args:
            classifier: the classifier.
            probe: float32 [N, …], N ≥ 3 real images.
        """
        self._classifier, self._probe = classifier, probe
        self.graph = Graph(classifier.model)
        self.names = [name for node in self.graph.nodes for name in node.output if name]

    @cached_property
    def classes(self) -> int:
        """Number of classes of the classifier; no inner tensor is computed for it."""
        return int(self._classifier.scores(self._probe[:2]).shape[1])

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape behind the batch of a float32 tensor with one row per image.

        Any other tensor gives None.
        """
        if name not in self._batches[0]:
            return None
        two, three, _ = (batch[name] for batch in self._batches)
        per_image = two.dtype == np.float32 and two.shape[:1] == (2,) and three.shape[:1] == (3,)
        return two.shape[1:] if per_image else None

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the value of a tensor that is the same whatever the images are, else None."""
        two, three, other = (batch[name] for batch in self._batches)
        same = np.array_equal(two, three) and np.array_equal(two, other)
        return two if same else None

    def images(self, name: str) -> NDArray[np.float32]:
        """Return the values of a tensor for two images, float32 [2, …]; it must have a ``shape``."""
        return np.asarray(self._batches[0][name])

    def measured(self, layers: list[Layer]) -> list[Layer]:
        """Return the layers with the rank and the number of outputs of every use filled in.

        Raises:
            ModelError: the rows of a layer are not images but, for example, windows or tokens
                folded into the batch; the message names the layer.
        """
        producers = self.graph.producers()
        found = []
        for layer in layers:
            uses = []
            for use in layer.uses:
                shape = self.shape(use.tap)
                if not shape:
                    two = self._batches[0][use.tap].shape
                    reason = f"its result has shape {list(two)} for 2 images, so its rows are not images"
                    raise refuse(producers[use.tap], reason)
                uses.append(replace(use, rank=len(shape) + 1, outputs=int(np.prod(shape))))
            found.append(replace(layer, uses=tuple(uses)))
        return found

    @cached_property
    def _batches(self) -> list[_Values]:
        """Values of all tensors for two images, for three images, and for two others."""
        names = self.names
        source = [entry for entry in self.graph.proto.input if entry.name == IMAGES]
        model = self.graph.subgraph(source, [helper.make_empty_tensor_value_info(name) for name in names])
        session = open_session(model.SerializeToString())
        batches = []
        for images in (self._probe[:2], self._probe[:3], self._probe[1:3]):
            values = run_session(session, IMAGES, images)
            batches.append({**dict(zip(names, values, strict=True)), IMAGES: images})
        return batches
