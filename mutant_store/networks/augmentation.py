"""Random shifts, mirror images and blanks, so that a network does not memorise its images."""

import torch
from torch import Tensor
from torch.nn import functional


def augment(images: Tensor, *, shift: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Move and mirror each image on its own.

    Args:
        images: [N, C, H, W] of any type and device.
        shift: largest number of pixels along each axis; what comes into view is 0 (black).
        flip: whether to mirror left to right with probability one half.
        generator: source of randomness, on the CPU.

    Returns:
        A tensor of the same shape, type and device.
    """
    count, _, height, width = images.shape
    if flip:
        mirrored = torch.rand(count, generator=generator).to(images.device) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    if shift:
        top, left = torch.randint(0, 2 * shift + 1, (2, count), generator=generator).to(images.device)
        padded = functional.pad(images, (shift, shift, shift, shift))
        rows = top[:, None, None] + torch.arange(height, device=images.device)[None, :, None]
        columns = left[:, None, None] + torch.arange(width, device=images.device)[None, None, :]
        chosen = torch.arange(count, device=images.device)[:, None, None]
        images = padded[chosen, :, rows, columns].permute(0, 3, 1, 2)
    return images


def erase(images: Tensor, *, size: int, generator: torch.Generator) -> Tensor:
    """Blank one square of each image.

    Source: DeVries, Taylor: Improved regularization of CNNs with cutout. 2017.

    Args:
        images: [N, C, H, W], normalised, so that 0 is the mean colour.
        size: side of the square in pixels; its centre may lie anywhere in the image, so parts of it
            may fall outside.
        generator: source of randomness, on the CPU.

    Returns:
        A tensor of the same shape, type and device.
    """
    count, _, height, width = images.shape
    inside = []
    for length in (height, width):
        first = torch.randint(0, length, (count, 1), generator=generator).to(images.device) - size // 2
        position = torch.arange(length, device=images.device)
        inside.append((position >= first) & (position < first + size))
    blank = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(blank, 0)
