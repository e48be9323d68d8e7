"""The perceptron on digits as the classifier that is asked, and images that it labels rightly."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from evaluation.queries.services.response import Pixels, Query, Response
from mutant_store.datasets import ImageData, load
from tests.evaluation.queries.scripted import Scripted


@pytest.fixture(scope="session")
def perceptron(digits_model: Path) -> Scripted:
    """Return a service that answers the perceptron's labels and probabilities to whatever is asked."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(digits_model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def answer(image: Pixels) -> Response:
        (scores,) = session.run(None, {name: (image.transpose(2, 0, 1)[None] / 255).astype(np.float32)})
        label = int(scores.argmax())
        return Response(label, label, float(1 / np.exp(scores - scores[0, label]).sum()))

    return Scripted(answer)


@pytest.fixture(scope="session")
def right(perceptron: Scripted) -> ImageData:
    """Return test images that the perceptron labels rightly, the first two of different classes."""
    data = load("digits@test").part(0, 60)
    found = perceptron.ask(data.images, [Query("one", 0)] * len(data))
    places = [n for n, one in enumerate(found) if one.label == data.labels[n]]
    other = next(n for n in places if data.labels[n] != data.labels[places[0]])
    order = [places[0], other, *(n for n in places[1:] if n != other)]
    return ImageData(data.images[order], data.labels[order], data.class_names, data.range)
