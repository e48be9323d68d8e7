"""The Square attack.

Andriushchenko, Croce, Flammarion, Hein: Square attack: a query-efficient black-box adversarial
attack via random search. ECCV 2020.
"""

from typing import Any

from evaluation.attacks.settings import Square
from evaluation.attacks.target import Images, Labels


def attack(estimator: Any, settings: Square, images: Images, labels: Labels) -> Images:
    """Return images float32 [N, C, H, W] within ε of these, unrounded."""
    from art.attacks.evasion import SquareAttack

    method = SquareAttack(
        estimator,
        eps=settings.epsilon,
        max_iter=settings.iterations,
        nb_restarts=1,
        batch_size=len(images),
        verbose=False,
    )
    made: Images = method.generate(images, labels)
    return made
