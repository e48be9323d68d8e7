"""Answers of a classifier's file as it was given, and their comparison with those of its graph.

onnxruntime runs the file itself, so whatever reading and simplifying changed shows.
"""

from collections.abc import Callable
from math import ceil
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from mutant_guard.bank.session import Model, open_session
from mutant_guard.errors import ModelError
from mutant_guard.store.choices import OutputKind
from mutant_store.boundary import boundary

Scores = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Function from inputs float32 [N, …] to class scores float32 [N, classes]."""

_BLOCK = 512
_LOGITS, _PROBABILITIES = 1e-3, 2e-3
"""Largest difference that the order of floating-point sums explains, as a share of the image's
largest score; logits below 1 count as 1."""


def file_scores(path: Path, output: str) -> Scores:
    """Return a function that runs an ONNX file as it is.

    Args:
        path: the file.
        output: name of the output with the class scores; of a dictionary of scores, the scores that
            it is made from are taken.

    Raises:
        ModelError: onnxruntime does not load the file. The function raises it too, where the file
            does not run on the inputs.
    """
    content, output = _without_dictionary(path, output)
    session = open_session(content)
    source = session.get_inputs()[0]
    size = source.shape[0] if source.shape and isinstance(source.shape[0], int) else None

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with boundary(ModelError, f"{path} itself does not run on these images", "export it again"):
            (found,) = session.run([output], {source.name: images})
        rows = np.asarray(found, dtype=np.float32)
        if rows.size % len(images) or (len(images) > 1 and rows.shape[:1] != images.shape[:1]):
            raise ModelError(f"{path} itself answers {len(images)} images with shape {list(rows.shape)}")
        return rows.reshape(len(images), -1)

    def of_size(inputs: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        padded = np.concatenate([inputs, np.repeat(inputs[-1:], -len(inputs) % size, axis=0)])
        parts = [run(padded[start : start + size]) for start in range(0, len(padded), size)]
        return np.concatenate(parts)[: len(inputs)]

    def scores(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        if size is not None:
            return of_size(inputs, size)
        try:
            return np.concatenate(list(map(run, np.array_split(inputs, ceil(len(inputs) / _BLOCK)))))
        except ModelError:
            return of_size(inputs, 1)  # the number of images may be built in although it is not said

    return scores


def check_same(
    expected: NDArray[np.float32], found: NDArray[np.float32], kind: OutputKind, what: str
) -> float:
    """Check that scores, and so labels, are those of the classifier as it was given.

    Args:
        expected: float32 [N, classes], scores of the classifier as given.
        found: float32 [N, classes], scores to check.
        kind: kind of the scores.
        what: name of what gave the scores, for the message.

    Returns:
        Largest difference of any score.

    Raises:
        ModelError: scores differ by more than the order of sums explains, so labels may differ
            elsewhere than at ties.
    """
    if expected.shape != found.shape:
        raise ModelError(
            f"{what} answers with shape {list(found.shape)} where the classifier as given answers with "
            f"{list(expected.shape)}; export the model again"
        )
    with np.errstate(invalid="ignore"):
        difference = np.abs(found.astype(np.float64) - expected)
    difference[(found == expected) | (np.isnan(found) & np.isnan(expected))] = 0
    largest = np.where(np.isfinite(expected), np.abs(expected), 0).max(axis=1, keepdims=True)
    allowed = _PROBABILITIES * largest if kind == "probabilities" else _LOGITS * np.maximum(largest, 1)
    other = ~(difference <= allowed).all(axis=1)
    if other.any():
        labels = int((expected.argmax(axis=1) != found.argmax(axis=1)).sum())
        raise ModelError(
            f"{what} does not answer as the classifier as given: on {other.sum()} of {len(other)} images scores "
            f"differ, by up to {np.nanmax(difference, initial=0):.3g}, and on {labels} the label; export the model "
            "with another operator set"
        )
    return float(difference.max())


def _without_dictionary(path: Path, output: str) -> tuple[Model, str]:
    model = onnx.load(path, load_external_data=False)
    node = next((node for node in model.graph.node if output in node.output), None)
    if node is None or node.op_type != "ZipMap":
        return path, output
    model.graph.output.append(helper.make_empty_tensor_value_info(node.input[0]))
    return model.SerializeToString(), node.input[0]
