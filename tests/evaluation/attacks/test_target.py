"""The network on pixels: it answers as the one on normalised input.

Images survive the way there and back.
"""

import numpy as np
import torch

from evaluation.attacks.target import OnPixels, as_bytes, as_pixels, estimator
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


def test_logits_are_the_classifiers_own(tiny: TrainedModel, clean: ImageData) -> None:
    expected = logits(tiny.network, tiny.classifier, clean.images[:20])
    pixels = as_pixels(clean.images[:20])
    with torch.inference_mode():
        assert np.allclose(OnPixels(tiny)(torch.from_numpy(pixels)).numpy(), expected, atol=1e-5)
    view = estimator(OnPixels(tiny), (1, 8, 8))
    assert view.nb_classes == 10
    for kind in (np.float32, np.float64):
        assert np.allclose(view.predict(pixels.astype(kind)), expected, atol=1e-5)


def test_bytes_come_back_as_they_were_and_others_are_rounded() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(1, 8, 8, 4)
    assert (as_bytes(as_pixels(images)) == images).all()
    values = np.array([-0.2, 0.6 / 255, 0.4 / 255, 1.3], dtype=np.float32).reshape(1, 1, 1, 4)
    assert as_bytes(values).ravel().tolist() == [0, 1, 0, 255]
