"""Projected gradient descent.

Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant to adversarial
attacks. ICLR 2018.
"""

from typing import Any

import numpy as np

from evaluation.attacks.settings import Pgd
from evaluation.attacks.target import Images, Labels


def attack(estimator: Any, settings: Pgd, images: Images, labels: Labels) -> Images:
    """Return images float32 [N, C, H, W] within ε of these, unrounded.

    Of several restarts one that fooled is kept. Labels to lead to come from numpy's global
    generator, as the toolbox's own draws do.
    """
    from art.attacks.evasion import ProjectedGradientDescent

    method = ProjectedGradientDescent(
        estimator,
        eps=settings.epsilon,
        eps_step=settings.step,
        max_iter=settings.iterations,
        num_random_init=settings.restarts,
        targeted=settings.targeted,
        batch_size=len(images),
        verbose=False,
    )
    if settings.targeted:
        labels = (labels + np.random.randint(1, estimator.nb_classes, len(labels))) % estimator.nb_classes
    made: Images = method.generate(images, labels)
    return made
