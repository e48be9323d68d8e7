"""One adaptive attack on images."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.adaptive.attack import Attack, Victims
from evaluation.adaptive.confident import ConfidentAttack
from evaluation.adaptive.joint import JointAttack
from evaluation.adaptive.logit_matching import LogitMatchingAttack
from evaluation.adaptive.mutants import Mutants, scaled
from evaluation.adaptive.orthogonal import OrthogonalAttack
from evaluation.adaptive.search import search
from evaluation.adaptive.settings import AttackSettings, Confident, Joint, LogitMatching

_TOGETHER = 32
"""Number of images attacked at a time.

More do not fit a core's cache with their mutants and take longer.
"""
_STRIDE = 1_000_003


def adaptive(
    mutants: Mutants,
    settings: AttackSettings,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
) -> NDArray[np.uint8]:
    """Attack images.

    Args:
        mutants: mutants that the attacker knows: own ones by the same recipe, or the store's own of
            ``from_store``.
        settings: method and settings of the attack.
        images: uint8 [N, H, W, C], clean.
        labels: int64 [N], the true labels, which the original is to be led away from.
        seed: seed of the attack's random choices. The same arguments give the same images.
        progress: callback with the number of images done.

    Returns:
        uint8 [N, H, W, C], each no further than ε from its source. Where no iterate fooled the
        original it is the one under which the true label was least probable.

    Raises:
        ValueError: ``logit-matching`` has no rightly labelled images of two classes.
    """
    clean = scaled(images)
    truth = torch.from_numpy(labels)
    with torch.no_grad():
        logits = torch.cat([mutants.original(part) for part in torch.split(clean, _TOGETHER)])
    right = logits.argmax(1) == truth
    attacked = np.empty_like(images)
    for start in range(0, len(images), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        generator = torch.Generator().manual_seed(seed * _STRIDE + start)
        victims = Victims(
            mutants, clean[part], truth[part], logits[part], clean[right], truth[right], generator
        )
        levels = search(lambda part: _attack(settings, part), settings, victims)
        attacked[part] = levels.numpy().astype(np.uint8).transpose(0, 2, 3, 1)
        progress(min(start + _TOGETHER, len(images)))
    return attacked


def _attack(settings: AttackSettings, victims: Victims) -> Attack:
    match settings:
        case Joint():
            return JointAttack(settings, victims)
        case Confident():
            return ConfidentAttack(settings, victims)
        case LogitMatching():
            return LogitMatchingAttack(settings, victims)
        case _:
            return OrthogonalAttack(settings, victims)
