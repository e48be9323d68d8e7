"""Answers of a classifier's file as it was given, and their comparison with those of its graph.

onnxruntime runs the file itself, so whatever reading and simplifying changed shows.
"""

import os
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from mutant_guard.bank.session import Model, open_session
from mutant_guard.errors import ModelError
from mutant_guard.store.choices import OutputKind
from mutant_store.boundary import boundary
from mutant_store.graph.element_types import half_types, widened

Scores = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Function from inputs float32 [N, …] to class scores float32 [N, classes]."""

_BLOCK = 512
_COMPARED = 64
"""Images on which a half-precision file is run itself."""
_HALF = 0.05
"""Largest difference that half precision explains, as a share of the image's largest score; scores
below 1 count as 1."""
_LOGITS, _PROBABILITIES = 1e-3, 2e-3
"""Largest difference that the order of floating-point sums explains, as a share of the image's
largest score; logits below 1 count as 1."""


def file_scores(path: Path, output: str) -> Scores:
    """Return a function that runs an ONNX file as it is.

    Args:
        path: the file.
        output: name of the output with the class scores; of a dictionary of scores, the scores that
            it is made from are taken.

    Half precision is converted to float32 first; on some of the images the file itself is run as
    well, and must agree as far as half precision goes. A file of bfloat16 numbers, which
    onnxruntime does not run on most processors, is not run itself.

    Raises:
        ModelError: onnxruntime does not load the file. The function raises it too, where the file
            does not run on the inputs, or disagrees with its float32 form.
    """
    header = onnx.load(path, load_external_data=False)
    halves = half_types(header)
    content, output = _without_dictionary(path, header, output)
    if not halves:
        return _scores_of(path, content, output)
    wide = _scores_of(path, widened(_whole(path, content)).SerializeToString(), output)
    if "bfloat16" in halves:
        return wide
    narrow = _scores_of(path, content, output)

    def scores(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        found = wide(inputs)
        _check_half(path, narrow(inputs[:_COMPARED]), found[:_COMPARED])
        return found

    return scores


def _scores_of(path: Path, content: Model, output: str) -> Scores:
    session = open_session(content, shared_arena=True)
    source = session.get_inputs()[0]
    size = source.shape[0] if source.shape and isinstance(source.shape[0], int) else None

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with boundary(ModelError, f"{path} itself does not run on these images", "export it again"):
            (found,) = session.run([output], {source.name: _as_type(images, source.type)})
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


def _as_type(images: NDArray[np.float32], kind: str) -> NDArray[Any]:
    """Return inputs in the type that a file takes."""
    if kind == "tensor(uint8)":
        return np.rint(images).astype(np.uint8)
    return images.astype(np.float16) if kind == "tensor(float16)" else images


def _check_half(path: Path, given: NDArray[np.float32], found: NDArray[np.float32]) -> None:
    """Check that float32 scores are those of the half-precision file, as far as its rounding goes.

    Raises:
        ModelError: a score differs by more, or is not finite in the file alone.
    """
    largest = np.abs(found).max(axis=1, keepdims=True)
    if not (np.abs(given.astype(np.float64) - found) <= _HALF * np.maximum(largest, 1)).all():
        differs = np.nanmax(np.abs(given.astype(np.float64) - found), initial=0)
        raise ModelError(
            f"{path}: converted from half precision to float32 it gives other scores than by itself, by up to "
            f"{differs:.3g}: give the float32 model that it was made from"
        )


def _whole(path: Path, content: Model) -> onnx.ModelProto:
    """Return a model with the weights that are stored beside its file."""
    model = (
        onnx.load_from_string(content)
        if isinstance(content, bytes)
        else onnx.load(path, load_external_data=False)
    )
    onnx.load_external_data_for_model(model, os.fspath(path.parent))
    return model


def _without_dictionary(path: Path, model: onnx.ModelProto, output: str) -> tuple[Model, str]:
    node = next((node for node in model.graph.node if output in node.output), None)
    if node is None or node.op_type != "ZipMap":
        return path, output
    model.graph.output.append(helper.make_empty_tensor_value_info(node.input[0]))
    return model.SerializeToString(), node.input[0]
