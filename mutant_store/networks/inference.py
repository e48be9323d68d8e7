"""Inference of a torch classifier on images, with the preprocessing that the server uses."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mutant_guard.store.preprocessing import to_input
from mutant_store.datasets import ImageData
from mutant_store.networks import Network

_BATCH = 500


def normalised(classifier: Network, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what the network reads, float32 [N, C, H, W], of pixels uint8 [N, H, W, C]."""
    mean, std = (np.array(values, dtype=np.float32) for values in (classifier.mean, classifier.std))
    return to_input(images, mean=mean, std=std, layout="nchw")


@torch.inference_mode()
def logits(model: nn.Module, classifier: Network, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return logits float32 [N, classes] of pixels uint8 [N, H, W, C].

    The model runs on its device, in evaluation mode.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    batches = []
    for start in range(0, len(images), _BATCH):
        batch = torch.from_numpy(normalised(classifier, images[start : start + _BATCH]))
        batches.append(model(batch.to(device)).float().cpu().numpy())
    model.train(was_training)
    return np.concatenate(batches)


def accuracy(model: nn.Module, classifier: Network, data: ImageData) -> float:
    """Return the share of the images, 0 to 1, whose largest logit is at their label."""
    return float(np.mean(logits(model, classifier, data.images).argmax(axis=1) == data.labels))
