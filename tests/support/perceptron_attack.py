"""Adversarial images for the tests' perceptron, whose gradient is short enough to write down."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

_STEPS = 20


def attacked(model: Path, images: NDArray[np.uint8], epsilon: float) -> NDArray[np.uint8]:
    """Attack by projected gradient descent on the label that the model gives.

    Args:
        model: ONNX file of ``tests.support.demo.perceptron`` with one hidden layer, of pixels 0 to
            1.
        images: uint8 [N, H, W].
        epsilon: largest change of a pixel, as a share of its range.

    Returns:
        Attacked images uint8 [N, H, W], of which some may not fool the model.
    """
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(model).graph.initializer}
    w0, b0, w1, b1 = (found[name] for name in ("w0", "b0", "w1", "b1"))
    clean = images.reshape(len(images), -1).astype(np.float64) / 255
    labels = (np.maximum(clean @ w0 + b0, 0) @ w1 + b1).argmax(axis=1)
    pixels = clean
    for _ in range(_STEPS):
        hidden = pixels @ w0 + b0
        scores = np.maximum(hidden, 0) @ w1 + b1
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        shares[np.arange(len(labels)), labels] -= 1
        slope = ((shares @ w1.T) * (hidden > 0)) @ w0.T
        moved = pixels + 2.5 / _STEPS * epsilon * np.sign(slope)
        pixels = np.clip(np.clip(moved, clean - epsilon, clean + epsilon), 0, 1)
    return np.rint(pixels * 255).astype(np.uint8).reshape(images.shape)
