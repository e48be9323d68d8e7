"""Inference with a torch classifier."""

import numpy as np
import torch
from torch import nn

from mutant_store.datasets import load
from mutant_store.networks import CLASSIFIERS
from mutant_store.networks.inference import accuracy, logits, normalised


def test_batches_make_no_difference_and_the_mode_is_kept() -> None:
    classifier = CLASSIFIERS["digits-net"]
    model = classifier.build(10).train()
    data = load("digits@holdout[0:520]")
    together = logits(model, classifier, data.images)
    assert model.training
    with torch.inference_mode():
        last = model.eval()(torch.from_numpy(normalised(classifier, data.images[510:]))).numpy()
    assert together.shape == (520, 10)
    assert np.allclose(together[510:], last, atol=1e-5)


def test_accuracy_is_the_share_of_right_labels() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(nn.functional.one_hot(torch.tensor(3), 10).float())

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.bias.expand(len(images), 10)

    data = load("digits@test")
    assert accuracy(Constant(), CLASSIFIERS["digits-net"], data) == np.mean(data.labels == 3)
