"""Sets of images near a clean one: what an attack may do, and how it steps there."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from evaluation.adaptive.strongest.hunt import LEVELS

_TINY = torch.finfo(torch.float32).tiny
_ROUNDED = 1e-6
_INSIDE = 0.995
"""Share of a radius that is used before images are rounded, where rounding may lead outside."""


class Ball(ABC):
    """Images within a distance of clean ones, pixels from 0 to 1.

    Attributes:
        size: the distance.
        largest: first size of a step.
    """

    size: float
    largest: float

    @abstractmethod
    def project(self, images: Tensor, clean: Tensor) -> Tensor:
        """Return images of the ball near the given ones, float32 [M, C, H, W]."""

    @abstractmethod
    def step(self, direction: Tensor, sizes: Tensor) -> Tensor:
        """Return the change along a direction [M, C, H, W] of sizes float32 [M]."""

    @abstractmethod
    def holds(self, images: Tensor, clean: Tensor) -> Tensor:
        """Check which images are within the distance, bool [M]."""

    def start(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Return random images of the ball."""
        noise = torch.rand(clean.shape, generator=generator) * 2 - 1
        return self.project(clean + self.step(noise, torch.full((len(clean),), self.largest / 2)), clean)


class Linf(Ball):
    """Images whose pixels each differ by at most ε, in whole 8-bit levels."""

    def __init__(self, size: float) -> None:
        """Make the ball of a size ε, of which whole levels are used."""
        self.size = int(size * LEVELS + _ROUNDED) / LEVELS
        self.largest = 2 * self.size

    def project(self, images: Tensor, clean: Tensor) -> Tensor:
        """Return the nearest images of the ball."""
        lowest, highest = (clean - self.size).clamp_min_(0), (clean + self.size).clamp_max_(1)
        return torch.minimum(torch.maximum(images, lowest), highest)

    def step(self, direction: Tensor, sizes: Tensor) -> Tensor:
        """Return a change of every pixel by the size, in the direction's sign."""
        return sizes[:, None, None, None] * direction.sign()

    def start(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Return images with uniform noise."""
        noise = torch.rand(clean.shape, generator=generator) * 2 - 1
        return self.project(clean + self.size * noise, clean)

    def holds(self, images: Tensor, clean: Tensor) -> Tensor:
        """Check the largest change of a pixel."""
        return (images - clean).abs().flatten(1).amax(1) <= self.size + _ROUNDED


class L2(Ball):
    """Images whose change has at most a Euclidean length, pixels from 0 to 1."""

    def __init__(self, size: float) -> None:
        """Make the ball of a length."""
        self.size, self.largest = size, 2 * size

    def project(self, images: Tensor, clean: Tensor) -> Tensor:
        """Return images whose change is shortened to the length, and cut to the pixel range."""
        change = images - clean
        lengths = change.flatten(1).norm(dim=1).clamp_min(_TINY)
        shrunk = (_INSIDE * self.size / lengths).clamp_max(1)
        near: Tensor = clean + shrunk[:, None, None, None] * change
        return near.clamp(0, 1)

    def step(self, direction: Tensor, sizes: Tensor) -> Tensor:
        """Return the direction at the length of the size."""
        lengths = direction.flatten(1).norm(dim=1).clamp_min(_TINY)
        change: Tensor = (sizes / lengths)[:, None, None, None] * direction
        return change

    def holds(self, images: Tensor, clean: Tensor) -> Tensor:
        """Check the length of the change."""
        lengths: Tensor = (images - clean).flatten(1).norm(dim=1)
        return lengths <= self.size + _ROUNDED


class L0(Ball):
    """Images of which a number of pixels differ, by any amount.

    The steps and the projection are those of PGD₀ (Croce, Hein: Sparse and imperceivable
    adversarial attacks. ICCV 2019).
    """

    def __init__(self, size: float) -> None:
        """Make the ball of a number of pixels."""
        self.size, self.largest = size, 2.0

    def project(self, images: Tensor, clean: Tensor) -> Tensor:
        """Return images that keep the changes of those pixels that change most."""
        inside = images.clamp(0, 1)
        amounts = (inside - clean).square().sum(1).flatten(1)
        chosen = amounts.topk(min(int(self.size), amounts.shape[1]), dim=1).indices
        kept = torch.zeros_like(amounts).scatter_(1, chosen, 1.0)
        return clean + (inside - clean) * kept.view(len(clean), 1, *clean.shape[2:])

    def step(self, direction: Tensor, sizes: Tensor) -> Tensor:
        """Return the direction at a length of which the largest pixels' share is the size."""
        largest = direction.abs().flatten(1).amax(1).clamp_min(_TINY)
        return (sizes / largest)[:, None, None, None] * direction

    def holds(self, images: Tensor, clean: Tensor) -> Tensor:
        """Count the pixels that differ."""
        changed = ((images - clean).abs() > _ROUNDED).any(1).flatten(1)
        return changed.sum(1) <= self.size
