"""Carlini and Wagner's L2 attack.

Carlini, Wagner: Towards evaluating the robustness of neural networks. S&P 2017. The implementation
is Foolbox's, which follows the publication (Adam). The toolbox that makes the other attacks
replaces Adam by a line search that takes several times as long and stops farther from the image.
"""

import numpy as np
import torch
from torch import nn

from evaluation.attacks.settings import CarliniWagner
from evaluation.attacks.target import MISSING, Images, Labels
from mutant_guard.errors import DataError


def attack(network: nn.Module, settings: CarliniWagner, images: Images, labels: Labels) -> Images:
    """Return images float32 [N, C, H, W] near these in L2, of any wrong label, unrounded.

    An image that did not fool stays as it is.

    Raises:
        DataError: foolbox is not installed.
    """
    try:
        from foolbox.attacks.carlini_wagner import L2CarliniWagnerAttack
        from foolbox.models.pytorch import PyTorchModel
    except ImportError as error:
        raise DataError(MISSING) from error

    method = L2CarliniWagnerAttack(
        binary_search_steps=settings.search_steps,
        steps=settings.iterations,
        stepsize=settings.learning_rate,
        confidence=settings.confidence,
        initial_const=settings.initial_const,
    )
    target = PyTorchModel(network.eval(), bounds=(0, 1), device="cpu")
    made, _, _ = method(target, torch.from_numpy(images), torch.from_numpy(labels), epsilons=None)
    found: Images = made.detach().numpy()
    # Where nothing was found foolbox returns zeros, and a black image fools most labels.
    failed = (found == 0).all(axis=(1, 2, 3))
    return np.where(failed[:, None, None, None], images, found)
