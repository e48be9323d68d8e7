"""The saliency map attack.

Papernot, McDaniel, Jha, Fredrikson, Celik, Swami: The limitations of deep learning in adversarial
settings. EuroS&P 2016.
"""

from typing import Any

from evaluation.attacks.settings import Jsma
from evaluation.attacks.target import Images, Labels


def attack(estimator: Any, settings: Jsma, images: Images, labels: Labels) -> Images:
    """Return images float32 [N, C, H, W] with few values changed, unrounded.

    Each moves towards a wrong class drawn at random. Two values a step are changed, those whose
    gradient for the target is largest: the toolbox's short cut for the paper's search over all
    pairs. ``labels`` are the network's own, which no image is moved towards.
    """
    from art.attacks.evasion import SaliencyMapMethod
    from art.utils import random_targets

    method = SaliencyMapMethod(
        estimator, theta=settings.theta, gamma=settings.gamma, batch_size=len(images), verbose=False
    )
    made: Images = method.generate(images, random_targets(labels, estimator.nb_classes))
    return made
