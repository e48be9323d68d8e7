"""Attacks on blocks of images, each kept when it is done."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.adaptive.strongest.balls import L0, L2, Ball, Linf
from evaluation.adaptive.strongest.campaign import campaign
from evaluation.adaptive.strongest.hunt import LEVELS, Hunt
from evaluation.adaptive.strongest.judge import Judged, Pixels
from evaluation.adaptive.strongest.known import KnownGuard
from evaluation.adaptive.strongest.plan import plan
from evaluation.adaptive.strongest.query_attack import square_attack
from evaluation.adaptive.strongest.settings import AttackSettings, GradientAttack, Norm, QueryAttack
from evaluation.adaptive.strongest.stored_guard import ServedGuard

_STRIDE = 1_000_003
_BALLS: dict[Norm, type[Linf] | type[L2] | type[L0]] = {"linf": Linf, "l2": L2, "l0": L0}

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Found:
    """What an attack of one size found.

    Attributes:
        evaded: bool [P, N], whether an image evades a policy.
        images: uint8 [P, N, H, W, C], an image that does.
        spent: int64 [P, N], steps or queries before, −1 where none does.
        fooled: bool [N], whether the original gave a wrong label at all.
    """

    evaded: Bools
    images: NDArray[np.uint8]
    spent: NDArray[np.int64]
    fooled: Bools

    @classmethod
    def of(cls, hunt: Hunt) -> "Found":
        """Return what a hunt found."""
        return cls(hunt.evaded, hunt.found, hunt.steps, hunt.fooled)

    @classmethod
    def joined(cls, parts: list["Found"]) -> "Found":
        """Join blocks of images."""
        return cls(
            np.concatenate([part.evaded for part in parts], axis=1),
            np.concatenate([part.images for part in parts], axis=1),
            np.concatenate([part.spent for part in parts], axis=1),
            np.concatenate([part.fooled for part in parts]),
        )

    def part(self, places: slice) -> "Found":
        """Return some of the images."""
        return Found(
            self.evaded[:, places], self.images[:, places], self.spent[:, places], self.fooled[places]
        )


class _Nobody:
    """Judge that clears nothing: the attacker works to the end without an answer of the guard's."""

    def __init__(self, policies: tuple[str, ...]) -> None:
        self.policies = policies

    def judge(self, pixels: Pixels) -> Judged:
        return Judged(
            np.zeros(len(pixels), dtype=np.int64), np.zeros((len(self.policies), len(pixels)), dtype=np.bool_)
        )


def attack_block(
    settings: AttackSettings,
    size: float,
    served: ServedGuard,
    known: Callable[[str], KnownGuard],
    pixels: Pixels,
    labels: NDArray[np.int64],
    before: Found | None,
    seed: int,
) -> Found:
    """Attack a block of images at one size.

    Args:
        settings: the attack.
        size: largest change.
        served: the guard's answers.
        known: function that returns the guard that an attacker of a knowledge has.
        pixels: uint8 [N, H, W, C], clean.
        labels: int64 [N], the true labels.
        before: what the same attack found at a smaller size, which counts here too.
        seed: seed of all random choices.
    """
    hunt = Hunt(served, pixels, labels)
    if before is not None:
        hunt.resume(before.evaded, before.images, before.fooled)
    match settings:
        case QueryAttack():
            square_attack(served, hunt, size, settings.queries, seed)
        case GradientAttack(knowledge="store"):
            _follow(settings, size, known("store"), hunt, seed)
        case _:
            _transfer(settings, size, known("method"), hunt, seed)
    return Found.of(hunt)


def _follow(settings: GradientAttack, size: float, guard: KnownGuard, hunt: Hunt, seed: int) -> None:
    ball = ball_of(settings.norm, size)
    campaign(guard, hunt, ball, plan(settings, guard), settings.steps, settings.targets, seed)


def _transfer(settings: GradientAttack, size: float, guard: KnownGuard, hunt: Hunt, seed: int) -> None:
    """Attack the attacker's own guard to the end, and have its best images judged."""
    alone = Hunt(_Nobody(hunt.judge.policies), hunt.pixels, hunt.labels.numpy())
    ball, cautious = ball_of(settings.norm, size), guard.stricter()
    best = campaign(cautious, alone, ball, plan(settings, cautious), settings.steps, settings.targets, seed)
    hunt.spent[:] = alone.spent
    for images in best:
        levels = (images * LEVELS).round() / LEVELS
        inside = ball.holds(levels, alone.clean).numpy()
        hunt.offer(levels[inside], np.flatnonzero(inside))


def ball_of(norm: Norm, size: float) -> Ball:
    """Return the changes allowed."""
    return _BALLS[norm](size)


def seed_of(seed: int, attack: int, start: int) -> int:
    """Return the seed of a block of an attack."""
    return (seed * _STRIDE + attack) * _STRIDE + start
