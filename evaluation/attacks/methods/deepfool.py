"""DeepFool.

Moosavi-Dezfooli, Fawzi, Frossard: DeepFool: a simple and accurate method to fool deep neural
networks. CVPR 2016.
"""

from typing import Any

import torch
from torch import nn

from evaluation.attacks.settings import DeepFool
from evaluation.attacks.target import MISSING, Images, Labels
from mutant_guard.errors import DataError


def attack(estimator: Any, settings: DeepFool, images: Images, labels: Labels) -> Images:
    """Return images float32 [N, C, H, W] just past the nearest boundary, unrounded.

    ``labels`` are the network's own.
    """
    from art.attacks.evasion import DeepFool as Method

    method = Method(
        estimator,
        max_iter=settings.iterations,
        epsilon=settings.overshoot,
        nb_grads=estimator.nb_classes,
        batch_size=len(images),
        verbose=False,
    )
    made: Images = method.generate(images, labels)
    return made


def among_likely(network: nn.Module, settings: DeepFool, images: Images, labels: Labels) -> Images:
    """Return such images, with the boundaries of ``settings.labels`` most likely labels alone.

    The implementation is Foolbox's; the other toolbox takes the logits of wrong labels as soon as
    it is told to look at some labels only.

    Raises:
        DataError: foolbox is not installed.
    """
    try:
        from foolbox.attacks.deepfool import L2DeepFoolAttack
        from foolbox.models.pytorch import PyTorchModel
    except ImportError as error:
        raise DataError(MISSING) from error

    method = L2DeepFoolAttack(
        steps=settings.iterations, candidates=settings.labels, overshoot=settings.overshoot
    )
    target = PyTorchModel(network.eval(), bounds=(0, 1), device="cpu")
    made, _, _ = method(target, torch.from_numpy(images), torch.from_numpy(labels), epsilons=None)
    found: Images = made.detach().numpy()
    return found
