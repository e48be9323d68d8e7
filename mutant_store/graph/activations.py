"""Inner tensors of a classifier on real images.

Whether a tensor has one row per image is measured and not inferred.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from mutant_guard.bank.session import IMAGES, open_session, run_session
from mutant_store.graph.classifier import Classifier, refuse
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import Layer


@dataclass(frozen=True, eq=False)
class _Seen:
    """Facts about a tensor.

    Attributes:
        is_float: whether it is float32.
        two: its shape for two images.
        three: its shape for three images.
        constant: its value where it is the same whatever the images are, else None.
    """

    is_float: bool
    two: tuple[int, ...]
    three: tuple[int, ...]
    constant: NDArray[Any] | None


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

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of an image as the classifier reads it."""
        return tuple(self._probe.shape[1:])

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape behind the batch of a float32 tensor with one row per image.

        Any other tensor gives None.
        """
        seen = self._seen.get(name)
        if seen is None or not seen.is_float or seen.two[:1] != (2,) or seen.three[:1] != (3,):
            return None
        return seen.two[1:]

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the value of a tensor that is the same whatever the images are, else None."""
        return self._seen[name].constant

    def images(self, name: str) -> NDArray[np.float32]:
        """Return the values of a tensor for two images, float32 [2, …]; it must have a ``shape``."""
        two = self._probe[:2]
        return two if name == IMAGES else np.asarray(self._session.run([name], {IMAGES: two})[0])

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
                    two = self._seen[use.tap].two
                    reason = (
                        f"its result has shape {list(two)} for 2 images, so its rows are not images; name other "
                        "layers with --layers"
                    )
                    raise refuse(producers[use.tap], reason)
                uses.append(replace(use, rank=len(shape) + 1, outputs=int(np.prod(shape))))
            found.append(replace(layer, uses=tuple(uses)))
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to other machines, which open sessions of their own."""
        return {name: value for name, value in vars(self).items() if name != "_session"}

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        """Session that gives out every inner tensor."""
        source = [entry for entry in self.graph.proto.input if entry.name == IMAGES]
        outputs = [helper.make_empty_tensor_value_info(name) for name in self.names]
        return open_session(self.graph.subgraph(source, outputs).SerializeToString(), shared_arena=True)

    @cached_property
    def _seen(self) -> dict[str, _Seen]:
        """Facts from runs of two images, of three images, and of two others.

        The values themselves take much memory, and are not kept.
        """

        def values(images: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
            found = run_session(self._session, IMAGES, images)
            return {**dict(zip(self.names, found, strict=True)), IMAGES: images}

        same = values(self._probe[:2])
        floats = {name for name, value in same.items() if value.dtype == np.float32}
        two = {name: value.shape for name, value in same.items()}
        three: dict[str, tuple[int, ...]] = {}
        for images in (self._probe[:3], self._probe[1:3]):
            others = values(images)
            three = three or {name: value.shape for name, value in others.items()}
            same = {name: value for name, value in same.items() if np.array_equal(value, others[name])}
        return {name: _Seen(name in floats, two[name], three[name], same.get(name)) for name in two}
