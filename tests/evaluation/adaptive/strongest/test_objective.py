"""Loss against a guard's bounds: its gradient, what is inside a bound, and what is judged."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluation.adaptive.strongest.balls import Linf
from evaluation.adaptive.strongest.hunt import Hunt
from evaluation.adaptive.strongest.judge import Judged, Pixels
from evaluation.adaptive.strongest.known import KnownGuard, KnownPolicy, odds
from evaluation.adaptive.strongest.objective import Aim, GuardLoss

ROWS = np.arange(6)


class Nobody:
    """Judge that clears nothing and remembers how many images it saw."""

    policies = ("5 %",)

    def __init__(self) -> None:
        self.asked = 0

    def judge(self, pixels: Pixels) -> Judged:
        self.asked += len(pixels)
        return Judged(np.zeros(len(pixels), dtype=np.int64), np.zeros((1, len(pixels)), dtype=np.bool_))


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    last = nn.Linear(12, 5)
    made = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.Tanh(), last)
    made.requires_grad_(requires_grad=False)
    last.weight *= 4
    return made


def guard_of(clears: float, alarms: float) -> KnownGuard:
    """Return a guard of a first mutant and two others."""
    bounds = KnownPolicy(np.array([-1, clears, clears, alarms]), np.full(4, alarms))
    return KnownGuard(
        network(0),
        [network(1)],
        [network(2), network(3)],
        torch.tensor([0.5, 0.5, 0.5, 0.5]),
        torch.tensor([0.25, 1.0, 1.0, 1.0]),
        [bounds],
    )


def loss_of(
    guard: KnownGuard, aim: Aim, judge: Nobody | None = None, targets: Tensor | None = None
) -> GuardLoss:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), dtype=np.uint8)
    labels = np.zeros(6, dtype=np.int64)
    hunt = Hunt(judge or Nobody(), pixels, labels)
    wanted = torch.full((6,), 3) if targets is None else targets
    return GuardLoss(guard, aim, hunt, Linf(1.0), ROWS, wanted)


def images_of() -> Tensor:
    return torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("heard", [1, 3])
def test_the_gradient_is_that_of_the_loss(heard: int) -> None:
    images = images_of()
    found = loss_of(guard_of(0.6, 2.9), Aim(heard, own=1.0)).look(images, ROWS)
    assert (found.loss > 0).any()
    step = 1e-3
    for row in np.flatnonzero(found.loss.numpy() > 0):
        length = found.gradient[row].norm()
        moved = images.clone()
        sides = []
        for sign in (1, -1):
            moved[row] = images[row] + sign * step * found.gradient[row] / length
            sides.append(loss_of(guard_of(0.6, 2.9), Aim(heard, own=1.0)).look(moved, ROWS).loss[row])
        # What the bounds leave to a mutant moves with the doubts of the others, and is not followed.
        assert float(sides[0] - sides[1]) > 0
        if heard == 1:
            assert float(sides[0] - sides[1]) / (2 * step) == pytest.approx(float(length), rel=0.3)


@pytest.mark.parametrize("loss", ["odds", "margin", "dlr"])
@pytest.mark.parametrize("combination", ["sum", "balanced", "selective", "orthogonal"])
def test_a_step_against_the_gradient_lowers_the_loss(loss: str, combination: str) -> None:
    aim = Aim(1, loss=loss, combination=combination)  # type: ignore[arg-type]
    images, guard = images_of(), guard_of(0.05, 0.2)
    found = loss_of(guard, aim).look(images, ROWS)
    after = loss_of(guard, aim).look(images - 0.01 * found.gradient.sign(), ROWS)
    assert (after.loss < found.loss).float().mean() > 0.8


def test_what_is_within_all_bounds_is_judged_and_left() -> None:
    judge = Nobody()
    images, original = images_of(), network(0)
    targets = original(images).argmax(1)
    doubts = odds(original(images), targets, 0.05).sigmoid()
    # The only mutant is the original again, so that sums are 1.25 doubts: those of half of the images fit.
    made = guard_of(1.25 * float(doubts.median()) / 0.94, 1.0)
    guard = replace(made, firsts=[original], temperatures=torch.full((4,), 0.05))
    loss = loss_of(guard, Aim(1, own=1.0), judge, targets)
    found = loss.look(images, ROWS)
    met = found.loss.numpy() <= 0
    assert met.sum() == (doubts <= doubts.median()).sum() == 3
    assert (loss.open(ROWS) == ~met).all()
    assert (found.gradient[torch.from_numpy(met)] == 0).all()
    assert judge.asked > 0


def test_other_mutants_are_looked_at_only_where_the_first_is_near() -> None:
    guard = guard_of(0.01, 1e-6)
    asked: list[int] = []
    guard.others[0].register_forward_hook(lambda module, inputs, output: asked.append(len(output)))  # type: ignore[attr-defined]
    far = loss_of(guard, Aim(3)).look(images_of(), ROWS)
    assert not asked
    assert (far.loss > 6).all()
