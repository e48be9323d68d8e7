"""Any attack on a batch of images, rounded as the images would be sent."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from evaluation.attacks import settings
from evaluation.attacks.methods import (
    autoattack,
    carlini_wagner,
    deepfool,
    fgsm,
    hopskipjump,
    jsma,
    patch,
    pgd,
    square,
)
from evaluation.attacks.randomness import seeded
from evaluation.attacks.settings import AttackSettings
from evaluation.attacks.target import Images, Labels, OnPixels, as_bytes, as_pixels, estimator
from mutant_guard.errors import DataError
from mutant_store.networks.weights import TrainedModel

_OfToolbox = (
    settings.Fgsm
    | settings.MinimalFgsm
    | settings.Pgd
    | settings.AutoAttack
    | settings.Square
    | settings.Jsma
    | settings.DeepFool
    | settings.BlackBox
    | settings.HopSkipJump
)


def attacked(
    model: TrainedModel,
    attack: AttackSettings,
    images: NDArray[np.uint8],
    labels: Labels,
    seed: int,
    substitute: nn.Module | None = None,
) -> NDArray[np.uint8]:
    """Attack images and round the result to 8 bits.

    Rounding may take a pixel past ε, by less than half of 1/255.

    Args:
        model: the network to fool.
        attack: method and settings.
        images: uint8 [N, H, W, C] of the network's shape, N at least 1; they are attacked as one
            batch.
        labels: int64 [N], the labels that the network is to stop giving: the true labels, which it
            gives the images.
        seed: seed of all that is drawn, 0 to 2³² - 1. The same arguments and number of torch
            threads give the same result.
        substitute: for ``black_box``, the network that ``train`` made.

    Returns:
        uint8 [N, H, W, C]; some may not fool the network.

    Raises:
        DataError: the adversarial-robustness-toolbox is not installed, or ``black_box`` has no
            substitute.
    """
    if isinstance(attack, settings.BlackBox):
        if substitute is None:
            raise DataError(f"{attack.name} attacks through a substitute; train one and pass it")
        network = substitute
    else:
        network = OnPixels(model)
    pixels = as_pixels(images)
    with seeded(seed):
        match attack:
            case settings.CarliniWagner():
                made = carlini_wagner.attack(network, attack, pixels, labels)
            case settings.DeepFool() if attack.labels is not None:
                made = deepfool.among_likely(network, attack, pixels, labels)
            case settings.Patch():
                made = patch.attack(network, attack, pixels, labels)
            case _:
                made = _run(attack, estimator(network, pixels.shape[1:]), pixels, labels)
    return as_bytes(made)


def _run(attack: _OfToolbox, target: object, images: Images, labels: Labels) -> Images:  # noqa: PLR0911
    match attack:
        case settings.Fgsm() | settings.BlackBox():
            return fgsm.attack(target, attack, images, labels)
        case settings.MinimalFgsm():
            return fgsm.minimal(target, attack, images, labels)
        case settings.Pgd():
            return pgd.attack(target, attack, images, labels)
        case settings.AutoAttack():
            return autoattack.attack(target, attack, images, labels)
        case settings.Square():
            return square.attack(target, attack, images, labels)
        case settings.Jsma():
            return jsma.attack(target, attack, images, labels)
        case settings.DeepFool():
            return deepfool.attack(target, attack, images, labels)
        case settings.HopSkipJump():
            return hopskipjump.attack(target, attack, images, labels)
