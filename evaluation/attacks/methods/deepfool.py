"""DeepFool.

Moosavi-Dezfooli, Fawzi, Frossard: DeepFool: a simple and accurate method to fool deep neural
networks. CVPR 2016.
"""

from typing import Any

from evaluation.attacks.settings import DeepFool
from evaluation.attacks.target import Images, Labels


def attack(estimator: Any, settings: DeepFool, images: Images, labels: Labels) -> Images:
    """Return images float32 [N, C, H, W] just past the nearest boundary, unrounded.

    ``labels`` are the network's own.
    """
    from art.attacks.evasion import DeepFool as Method

    method = Method(
        estimator,
        max_iter=settings.iterations,
        epsilon=settings.overshoot,
        nb_grads=settings.labels or estimator.nb_classes,
        batch_size=len(images),
        verbose=False,
    )
    made: Images = method.generate(images, labels)
    return made
