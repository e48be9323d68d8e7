"""AutoAttack.

Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks. ICML 2020.
"""

from typing import Any

import numpy as np

from evaluation.attacks.settings import AutoAttack
from evaluation.attacks.target import Images, Labels

_ITERATIONS, _LABELS = 100, 10


def attack(estimator: Any, settings: AutoAttack, images: Images, labels: Labels) -> Images:
    """Return images float32 [N, C, H, W] within ε of these, unrounded.

    Where nothing fools, it is the image itself. The toolbox's ensemble runs one attack after the
    other on the images that still stand: Auto-PGD (100 iterations, 5 restarts unless told
    otherwise) on cross entropy, the same on the difference of logits ratio, DeepFool where the
    paper has FAB, and Square (5,000 iterations, 5 restarts unless told otherwise). Networks of more
    labels than DeepFool looks at do without it: the toolbox mistakes labels then.
    """
    from art.attacks.evasion import AutoAttack as Method
    from art.attacks.evasion import AutoProjectedGradientDescent, DeepFool, SquareAttack

    epsilon, batch = settings.epsilon, len(images)
    members = [
        AutoProjectedGradientDescent(
            estimator,
            norm=np.inf,
            eps=epsilon,
            eps_step=epsilon / 3,
            max_iter=_ITERATIONS,
            nb_random_init=settings.restarts,
            batch_size=batch,
            loss_type=loss,
            verbose=False,
        )
        for loss in ("cross_entropy", "difference_logits_ratio")
    ]
    if estimator.nb_classes <= _LABELS:
        members.append(DeepFool(estimator, max_iter=100, epsilon=1e-3, batch_size=batch, verbose=False))
    members.append(
        SquareAttack(
            estimator,
            norm=np.inf,
            eps=epsilon,
            max_iter=settings.queries,
            nb_restarts=settings.restarts,
            batch_size=batch,
            verbose=False,
        )
    )
    method = Method(estimator, norm=np.inf, eps=epsilon, attacks=members, batch_size=batch)
    made: Images = method.generate(images, labels)
    return made
