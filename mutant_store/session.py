"""Running ONNX graphs with onnxruntime. Light: both the server and the offline tools import it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mutant_store.errors import ModelError

Model = bytes | Path
FloatArray = NDArray[np.float32]

IMAGES = "images"
"""Name of the image input of every graph in a store."""

_ERRORS_ONLY = 3


def open_session(
    model: Model, *, providers: Sequence[str] = ("CPUExecutionProvider",), threads: int = 0
) -> onnxruntime.InferenceSession:
    """An inference session that does not spin when idle.

    Args:
        model: serialised model, or the path of one.
        providers: execution providers in order of preference.
        threads: intra-op threads; 0 lets onnxruntime choose.

    Raises:
        ModelError: onnxruntime cannot load the graph.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=list(providers))
    except Exception as error:  # onnxruntime raises a class of its own for every failure
        raise ModelError(f"onnxruntime cannot load the graph: {_first_line(error)}") from error


def run_session(
    session: onnxruntime.InferenceSession, input_name: str, inputs: FloatArray
) -> list[FloatArray]:
    """Run one float32 input through a session and return all outputs.

    Raises:
        ModelError: the graph does not take this shape.
    """
    try:
        return [np.asarray(value) for value in session.run(None, {input_name: inputs})]
    except Exception as error:
        raise ModelError(
            f"the model fails on inputs of shape {list(inputs.shape)}: {_first_line(error)}"
        ) from error


class BankSession:
    """The mutant bank: one pass over the images, then any mix of (image, mutant) rows as one batch.

    Attributes:
        runs: how many times the bank has run.
    """

    def __init__(
        self,
        prefix: Model,
        bank: Model,
        *,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int = 0,
    ) -> None:
        self._prefix = open_session(prefix, providers=providers, threads=threads)
        self._bank = open_session(bank, providers=providers, threads=threads)
        self._features = [entry.name for entry in self._prefix.get_outputs()]
        self.runs = 0

    @property
    def provider(self) -> str:
        """The execution provider that was taken."""
        return str(self._bank.get_providers()[0])

    def features(self, inputs: FloatArray) -> list[FloatArray]:
        """What all mutants of an image share: one array [R, …] per feature for float32 inputs [R, …]."""
        return run_session(self._prefix, IMAGES, inputs)

    def scores(
        self, features: Sequence[FloatArray], image_index: NDArray[np.int64], mutant_index: NDArray[np.int64]
    ) -> FloatArray:
        """Class scores of rows (image, mutant).

        Args:
            features: from :meth:`features`, rows of several calls may be concatenated.
            image_index: int64 [B], which row of the features.
            mutant_index: int64 [B], which mutant; 0 is the original.

        Returns:
            float32 [B, classes].
        """
        feed = dict(zip(self._features, features, strict=True))
        feed.update(image_index=image_index, mutant_index=mutant_index)
        self.runs += 1
        return np.asarray(self._bank.run(None, feed)[0])

    def labels(
        self, inputs: FloatArray, mutants: NDArray[np.int64], *, rows: int = 1024
    ) -> NDArray[np.int64]:
        """Labels of every image under every mutant given, in blocks of about ``rows`` rows.

        Args:
            inputs: float32 [N, …].
            mutants: int64 [M].

        Returns:
            int64 [N, M].
        """
        labels = np.empty((len(inputs), len(mutants)), dtype=np.int64)
        block = max(1, min(len(mutants), rows))
        images = max(1, rows // block)
        for start in range(0, len(inputs), images):
            features = self.features(inputs[start : start + images])
            count = len(inputs[start : start + images])
            for first in range(0, len(mutants), block):
                chosen = mutants[first : first + block]
                scores = self.scores(
                    features, np.repeat(np.arange(count), len(chosen)), np.tile(chosen, count)
                )
                labels[start : start + count, first : first + block] = scores.argmax(axis=1).reshape(
                    count, -1
                )
        return labels


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
