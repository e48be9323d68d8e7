"""Random shifts and mirror images."""

import torch
from torch import Tensor

from evaluation.augmentation import augment


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def numbered(count: int) -> Tensor:
    """The same image of 3 channels and 4×5 pixels, all pixels different and none 0."""
    return torch.arange(1, 61, dtype=torch.uint8).reshape(1, 3, 4, 5).repeat(count, 1, 1, 1)


def test_nothing_asked_nothing_done() -> None:
    images = numbered(2)
    assert augment(images, shift=0, flip=False, generator=generator()) is images


def test_images_are_mirrored_whole() -> None:
    images = numbered(64)
    mirrored = augment(images, shift=0, flip=True, generator=generator())
    kept = [bool(torch.equal(one, images[0])) for one in mirrored]
    assert all(keep or torch.equal(one, images[0].flip(2)) for one, keep in zip(mirrored, kept, strict=True))
    assert 16 < sum(kept) < 48


def test_images_are_moved_and_filled_with_black() -> None:
    moved = augment(numbered(200), shift=1, flip=False, generator=generator())
    assert moved.shape == (200, 3, 4, 5)
    assert moved.dtype == torch.uint8
    padded = torch.nn.functional.pad(numbered(1)[0], (1, 1, 1, 1))
    possible = [padded[:, top : top + 4, left : left + 5] for top in range(3) for left in range(3)]
    seen = {next(i for i, one in enumerate(possible) if torch.equal(one, image)) for image in moved}
    assert seen == set(range(9))
