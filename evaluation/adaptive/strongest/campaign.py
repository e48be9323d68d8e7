"""One attack on images: runs towards every wrong label, several times, each after something else."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from evaluation.adaptive.strongest.apgd import apgd
from evaluation.adaptive.strongest.balls import Ball
from evaluation.adaptive.strongest.hunt import Hunt
from evaluation.adaptive.strongest.known import KnownGuard
from evaluation.adaptive.strongest.objective import Aim, GuardLoss


def campaign(
    guard: KnownGuard,
    hunt: Hunt,
    ball: Ball,
    aims: Sequence[Aim],
    steps: int,
    targets: int,
    seed: int,
    progress: Callable[[], None] = lambda: None,
) -> Tensor:
    """Attack images until they evade or every run has been made.

    There is a run an aim and target, those of the most likely labels first. The first two start
    from noise; of later ones every other goes on from the best image of the target so far, the
    rest start from noise again.

    Args:
        guard: the guard that the attacker has.
        hunt: images, and what is found of them.
        ball: images allowed.
        aims: what the runs are after, one an aim and target.
        steps: number of steps a run.
        targets: number of wrong labels tried, the most likely ones first.
        seed: seed of all random choices.
        progress: callback after every run.

    Returns:
        The image of the lowest loss of each, float32 [N, C, H, W].
    """
    clean, labels = hunt.clean, hunt.labels
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        ranked = ranked_targets(guard, clean, labels)[:, :targets]
    best = clean[:, None].repeat(1, ranked.shape[1], 1, 1, 1)
    lowest = torch.full(ranked.shape, torch.inf)
    for run, aim in enumerate(aims):
        lowest.fill_(torch.inf) if run == 0 else None
        for rank in range(ranked.shape[1]):
            places = np.flatnonzero(hunt.open)
            if len(places):
                part, wanted = clean[places], ranked[places, rank]
                start = ball.start(part, generator)
                if run > 1 and run % 2 == 0:
                    start = best[places, rank]
                loss = GuardLoss(guard, aim, hunt, ball, places, wanted)
                found, losses = apgd(loss, ball, part, start, steps)
                better = losses < lowest[places, rank]
                chosen = places[better.numpy()]
                best[chosen, rank], lowest[chosen, rank] = found[better], losses[better]
            progress()
    first = lowest.argmin(1)
    return best[torch.arange(len(best)), first]


def ranked_targets(guard: KnownGuard, images: Tensor, labels: Tensor) -> Tensor:
    """Return the wrong labels of images, those most likely under original and first mutants first.

    Returns:
        int64 [N, classes − 1].
    """
    networks = [guard.original, *guard.firsts]
    scores = torch.stack([network(images).log_softmax(1) for network in networks]).sum(0)
    ordered = scores.scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)
    return ordered[:, :-1]
