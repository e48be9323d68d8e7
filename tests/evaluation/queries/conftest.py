"""The perceptron on digits as the classifier that is asked, and images that it labels rightly."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from evaluation.queries.services.answer import Pixels
from evaluation.queries.services.in_process import Judge
from evaluation.queries.services.judge import Judged
from mutant_store.datasets import ImageData, load


@pytest.fixture(scope="session")
def judge(digits_model: Path) -> Judge:
    """Return the perceptron's labels and probabilities, without a verdict."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(digits_model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def judged(pixels: Pixels) -> list[Judged]:
        images = (pixels.transpose(0, 3, 1, 2) / 255).astype(np.float32)
        (scores,) = session.run(None, {name: images})
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances = odds / odds.sum(axis=1, keepdims=True)
        labels = scores.argmax(axis=1)
        return [
            Judged(int(label), float(row[label]), False, None)
            for label, row in zip(labels, chances, strict=True)
        ]

    return judged


@pytest.fixture(scope="session")
def right(judge: Judge) -> ImageData:
    """Return test images that the perceptron labels rightly, the first two of different classes."""
    data = load("digits@test").part(0, 60)
    places = [n for n, one in enumerate(judge(data.images)) if one.label == data.labels[n]]
    other = next(n for n in places if data.labels[n] != data.labels[places[0]])
    order = [places[0], other, *(n for n in places[1:] if n != other)]
    return ImageData(data.images[order], data.labels[order], data.class_names, data.range)
