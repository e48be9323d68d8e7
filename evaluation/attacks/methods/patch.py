"""An adversarial patch of one image.

Karmon, Zoran, Goldberg: LaVAN: localized and visible adversarial noise. ICML 2018. It differs from
the universal patch of Brown et al. (2017), which one square serves all images: this one is
stronger.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from evaluation.attacks.settings import Patch
from evaluation.attacks.target import Images, Labels


def attack(network: nn.Module, settings: Patch, images: Images, labels: Labels) -> Images:
    """Return images float32 [N, C, H, W] with a square of pixels changed, unrounded.

    The places of the squares come from numpy's global generator. The square that gives the true
    label the greatest loss is kept.
    """
    count, _, height, width = images.shape
    side = max(1, round(math.sqrt(settings.share * height * width)))
    clean, truth = torch.from_numpy(images), torch.from_numpy(labels)
    within = torch.zeros(count, 1, height, width, dtype=torch.bool)
    for number in range(count):
        top, left = (np.random.randint(0, length - side + 1) for length in (height, width))
        within[number, :, top : top + side, left : left + side] = True
    made, best = clean.clone(), clean.clone()
    most = torch.full((count,), -torch.inf)
    for number in range(settings.iterations + 1):
        made.requires_grad_()
        losses = cross_entropy(network(made), truth, reduction="none")
        (slope,) = torch.autograd.grad(losses.sum(), made)
        made, losses = made.detach(), losses.detach()
        better = losses > most
        most[better], best[better] = losses[better], made[better]
        if number < settings.iterations:
            made = torch.where(within, (made + settings.step * slope.sign()).clamp(0, 1), clean)
    found: Images = best.numpy()
    return found
