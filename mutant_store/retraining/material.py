"""Batches of a training, as the network that is trained reads them."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mutant_store.networks.augmentation import augment
from mutant_store.retraining.adversarial import AdversarialImages
from mutant_store.retraining.job import ADVERSARIAL_FEATURES, CLEAN_FEATURES, IMAGES, Job


class Material(Protocol):
    """Source of the batches of a job's trainings.

    Attributes:
        adversarial: number of adversarial images.
    """

    adversarial: int

    def batch(self, clean: Tensor, adversarial: Tensor, generator: torch.Generator) -> Tensor:
        """Return a batch of clean images, then of adversarial ones, on the job's device.

        Args:
            clean: int64 [n], positions of the clean images.
            adversarial: int64 [m], positions of the adversarial images.
            generator: source of all draws, on the CPU.
        """

    def logits(self, network: nn.Module, batch: Tensor) -> Tensor:
        """Return logits float32 [n + m, classes] of a batch."""


class Pixels:
    """Images, for networks that are trained as a whole."""

    def __init__(self, job: Job) -> None:
        """Place the images on the job's device."""
        self._job = job
        self._images = job.array(IMAGES).to(job.device)
        self._adversarial = AdversarialImages(job)
        self.adversarial = len(self._adversarial)

    def batch(self, clean: Tensor, adversarial: Tensor, generator: torch.Generator) -> Tensor:
        """Return pixels float32 [n + m, C, H, W] in the range 0 to 1.

        Adversarial images stay as they were made: moved or mirrored they no longer mislead the
        original, and teach little.
        """
        job = self._job
        images = augment(
            self._images[clean.to(job.device)], shift=job.shift, flip=job.flip, generator=generator
        )
        if len(adversarial):
            images = torch.cat([images, self._adversarial[adversarial].to(job.device)])
        pixels = images.float() / 255
        if job.recipe.jitter:
            noise = torch.randn(pixels.shape, generator=generator).to(job.device)
            pixels = pixels + job.recipe.jitter * noise
        return pixels

    def logits(self, network: nn.Module, batch: Tensor) -> Tensor:
        """Return logits float32 [n + m, classes] of pixels."""
        return self._job.logits(network, batch)


class Features:
    """Features that the original computes before the cut, for tails."""

    def __init__(self, job: Job) -> None:
        """Open the files of the features, whose rows are read as they are needed."""
        self._job = job
        self._clean, self._adversarial = (
            np.load(job.folder / name, mmap_mode="r") for name in (CLEAN_FEATURES, ADVERSARIAL_FEATURES)
        )
        self.adversarial = len(self._adversarial)

    def batch(self, clean: Tensor, adversarial: Tensor, generator: torch.Generator) -> Tensor:
        """Return features float32 [n + m, …]; nothing is drawn."""
        rows = [self._clean[clean.numpy()], self._adversarial[adversarial.numpy()]]
        return torch.from_numpy(np.concatenate(rows).astype(np.float32)).to(self._job.device)

    def logits(self, network: nn.Module, batch: Tensor) -> Tensor:
        """Return logits float32 [n + m, classes] of features."""
        return self._job.as_logits(network(batch))


def material(job: Job) -> Material:
    """Return the material that a job's mutants are trained on."""
    return Pixels(job) if job.tail is None else Features(job)
