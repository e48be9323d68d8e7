"""The fast gradient sign method.

Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples. ICLR 2015.
"""

from typing import Any

from evaluation.attacks.settings import BlackBox, Fgsm, MinimalFgsm
from evaluation.attacks.target import Images, Labels


def attack(estimator: Any, settings: Fgsm | BlackBox, images: Images, labels: Labels) -> Images:
    """Return images float32 [N, C, H, W] moved by ε along the sign of the gradient, unrounded.

    The gradient is the loss's.
    """
    from art.attacks.evasion import FastGradientMethod

    method = FastGradientMethod(estimator, eps=settings.epsilon, batch_size=len(images))
    made: Images = method.generate(images, labels)
    return made


def minimal(estimator: Any, settings: MinimalFgsm, images: Images, labels: Labels) -> Images:
    """Return images float32 [N, C, H, W] moved only as far as it takes, up to ε; unrounded."""
    from art.attacks.evasion import FastGradientMethod

    method = FastGradientMethod(
        estimator, eps=settings.epsilon, eps_step=settings.step, minimal=True, batch_size=len(images)
    )
    made: Images = method.generate(images, labels)
    return made
