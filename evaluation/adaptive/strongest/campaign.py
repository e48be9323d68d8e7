"""One attack on images: runs towards every wrong label, each run after something else."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.adaptive.strongest.apgd import apgd
from evaluation.adaptive.strongest.balls import Ball
from evaluation.adaptive.strongest.gradients import AttackGradients
from evaluation.adaptive.strongest.hunt import Hunt
from evaluation.adaptive.strongest.known import KnownGuard
from evaluation.adaptive.strongest.objective import Aim, GuardLoss


def campaign(
    guard: KnownGuard,
    hunt: Hunt,
    ball: Ball,
    aims: Sequence[Aim],
    steps: int,
    targets: int | None,
    seed: int,
) -> list[Tensor]:
    """Attack images until they evade or every run has been made.

    There is a run an aim and target, those of the most likely labels first. Of the runs after the
    same (policy and number of mutants heard) every other starts from noise, and the rest go on from
    the best image of the target so far.

    Args:
        guard: the guard that the attacker has.
        hunt: images, and what is found of them.
        ball: images allowed.
        aims: what the runs are after, one an aim and target.
        steps: number of steps a run.
        targets: number of wrong labels tried, the most likely ones first; None for all.
        seed: seed of all random choices.

    Returns:
        The image of the lowest loss of each that was found for every policy and number of mutants
        heard, float32 [N, C, H, W] each.
    """
    clean = hunt.clean
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        ranked = ranked_targets(guard, clean, hunt.labels)[:, :targets]
    ends: dict[tuple[int, int], _End] = {}
    for aim in aims:
        end = ends.setdefault((aim.policy, aim.heard), _End.of(clean, ranked.shape[1]))
        for rank in range(ranked.shape[1]):
            places = np.flatnonzero(~hunt.evaded[aim.policy])
            if len(places):
                part = clean[places]
                start = end.images[places, rank] if end.runs % 2 else ball.start(part, generator)
                loss = GuardLoss(guard, aim, hunt, ball, places, ranked[places, rank])
                with AttackGradients(through_clips=aim.through_clips):
                    end.keep(places, rank, *apgd(loss, ball, part, start, steps))
        end.runs += 1
    return [end.best for end in ends.values()]


@dataclass(eq=False)
class _End:
    """Best images so far of runs after the same, by image and target, with their losses."""

    images: Tensor
    losses: Tensor
    runs: int = 0

    @classmethod
    def of(cls, clean: Tensor, targets: int) -> "_End":
        every = clean[:, None].repeat(1, targets, 1, 1, 1)
        return cls(every, torch.full(every.shape[:2], torch.inf))

    def keep(self, places: NDArray[np.int64], rank: int, images: Tensor, losses: Tensor) -> None:
        better = losses < self.losses[places, rank]
        chosen = places[better.numpy()]
        self.images[chosen, rank], self.losses[chosen, rank] = images[better], losses[better]

    @property
    def best(self) -> Tensor:
        return self.images[torch.arange(len(self.images)), self.losses.argmin(1)]


def ranked_targets(guard: KnownGuard, images: Tensor, labels: Tensor) -> Tensor:
    """Return the wrong labels of images, those most likely under original and first mutants first.

    Returns:
        int64 [N, classes − 1].
    """
    networks = [guard.original, *guard.firsts]
    scores = torch.stack([network(images).log_softmax(1) for network in networks]).sum(0)
    ordered = scores.scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)
    return ordered[:, :-1]
