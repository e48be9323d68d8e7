"""Random shifts, mirror images and blanks."""

import torch
from torch import Tensor

from mutant_store.networks.augmentation import augment, erase


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def numbered(count: int) -> Tensor:
    """Return the same image ``count`` times: 3 channels of 4×5 pixels, all different and none 0."""
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


def test_one_square_of_each_image_is_blanked() -> None:
    images = torch.ones(300, 3, 6, 7)
    erased = erase(images, size=2, generator=generator())
    assert (images == 1).all()
    blanks = set()
    for image in erased:
        assert torch.equal(image[0], image[1])
        assert torch.equal(image[0], image[2])
        rows, columns = torch.nonzero(image[0] == 0, as_tuple=True)
        blanks.add((int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())))
        assert len(rows) == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
    # Centres in each of 6 × 7 places. Squares over the upper and left edges are cut.
    tops = {(0, 0), (0, 1), (1, 2), (2, 3), (3, 4), (4, 5)}
    assert {(top, bottom) for top, bottom, _, _ in blanks} == tops
    assert {(left, right) for _, _, left, right in blanks} == tops | {(5, 6)}
