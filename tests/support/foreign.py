"""Classifier of another framework with its own exporter: scikit-learn's perceptron, by skl2onnx."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from mutant_store.datasets import load

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Perceptron:
    """Perceptron of 64-32-16-10 trained on digits, and 1,000 unseen images, float32 [1000, 64]."""

    model: MLPClassifier
    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def export(self, path: Path, *, zipmap: bool = False) -> Path:
        """Write the perceptron as ONNX.

        By default skl2onnx would make a dictionary of the probabilities.
        """
        onnx.save(to_onnx(self.model, self.images[:1], options={id(self.model): {"zipmap": zipmap}}), path)
        return path

    def probabilities(self, weights: list[Floats], biases: list[Floats]) -> Floats:
        """Return a perceptron's probabilities for the images, float64 [1000, 10].

        Args:
            weights: weights of each layer, [outputs, inputs].
            biases: biases of each layer.
        """
        values = self.images.astype(np.float64)
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            values = np.maximum(values @ weight.T + bias, 0)
        scores = values @ weights[-1].T + biases[-1]
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: Floats = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def mutated(self, operator: str, choice: Mapping[str, NDArray[Any]]) -> Floats:
        """Return a mutant's probabilities for the images.

        They are computed by numpy alone from the trained coefficients, without a framework.
        """
        weights = [weight.T.copy() for weight in self.model.coefs_]
        biases = [bias.copy() for bias in self.model.intercepts_]
        if operator in ("nai", "ns"):
            offset = 0
            for weight, bias in zip(weights, biases, strict=True):
                original, last = weight.copy(), offset + len(weight)
                mine = (choice["neurons"] >= offset) & (choice["neurons"] < last)
                rows = choice["neurons"][mine] - offset
                if operator == "nai":
                    weight[rows], bias[rows] = -original[rows], -bias[rows]
                else:
                    weight[rows] = original[choice["sources"][mine] - offset]
                offset = last
            return self.probabilities(weights, biases)
        pairs = list(zip(weights, biases, strict=True))
        vector = np.concatenate([np.append(weight.ravel(), bias) for weight, bias in pairs])
        written = choice["values"] if operator == "gf" else vector[choice["sources"]]
        vector[choice["positions"]] = written
        for weight, bias in pairs:
            weight.flat, vector = vector[: weight.size], vector[weight.size :]
            bias[:], vector = vector[: bias.size], vector[bias.size :]
        return self.probabilities(weights, biases)


def train_perceptron() -> Perceptron:
    """Train a perceptron that has learned something, in a fraction of a second."""
    train, *others = load("digits@train"), load("digits@test"), load("digits@holdout")
    model = MLPClassifier((32, 16), learning_rate_init=0.01, max_iter=20, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(_rows(train.images), train.labels)
    images, labels = (np.concatenate([getattr(one, name) for one in others]) for name in ("images", "labels"))
    return Perceptron(model, _rows(images)[:1000], labels[:1000])


def _rows(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
