"""HopSkipJump.

Chen, Jordan, Wainwright: HopSkipJumpAttack: a query-efficient decision-based attack. S&P 2020.
"""

from typing import Any

import numpy as np

from evaluation.attacks.settings import HopSkipJump
from evaluation.attacks.target import Images, Labels

_NOISE = 100
"""Number of images of noise among which each image finds one to start at."""


def attack(estimator: Any, settings: HopSkipJump, images: Images, labels: Labels) -> Images:
    """Return images float32 [N, C, H, W] near these in L2 and of a wrong label, unrounded.

    Each starts at an image of uniform noise that has another label or, where all noise has the
    image's own, at the next of ``images`` that has another; where there is none either, the image
    comes back as it is. (The toolbox's own search for noise is not seeded.)
    """
    from art.attacks.evasion import HopSkipJump as Method

    noise = np.random.uniform(size=(_NOISE, *images.shape[1:])).astype(np.float32)
    noise_labels = estimator.predict(noise, batch_size=_NOISE).argmax(axis=1)
    starts, startable = images.copy(), np.ones(len(images), dtype=bool)
    for index, label in enumerate(labels):
        others = np.roll(np.arange(len(images)), -index)
        if (usable := np.flatnonzero(noise_labels != label)).size:
            starts[index] = noise[usable[index % len(usable)]]
        elif (usable := others[labels[others] != label]).size:
            starts[index] = images[usable[0]]
        else:
            startable[index] = False
    made = images.copy()
    if startable.any():
        method = Method(
            estimator,
            norm=2,
            max_iter=settings.iterations,
            max_eval=settings.max_eval,
            init_eval=settings.init_eval,
            batch_size=1024,
            verbose=False,
        )
        made[startable] = method.generate(
            images[startable], labels[startable], x_adv_init=starts[startable].copy()
        )
    return made
