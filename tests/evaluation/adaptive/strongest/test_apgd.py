"""APGD on a small network: it gets further than plain PGD and never loses its best image."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.adaptive.strongest.apgd import Look, apgd, checkpoints
from evaluation.adaptive.strongest.balls import Linf

EPSILON = 0.2


class Margin:
    """Margin of one class over the highest other, of a random network that bends its gradients."""

    def __init__(self, rows: int) -> None:
        torch.manual_seed(0)
        first = nn.Linear(64, 48)
        self.network = nn.Sequential(nn.Flatten(), first, nn.Tanh(), nn.Linear(48, 10))
        with torch.no_grad():
            first.weight *= 6
        self.clean = torch.rand(rows, 1, 8, 8)
        self.asked: list[int] = []
        self.closed = np.zeros(rows, dtype=np.bool_)
        self.all_losses: list[Tensor] = []

    def look(self, images: Tensor, rows: NDArray[np.int64]) -> Look:
        self.asked.append(len(rows))
        inputs = images.clone().requires_grad_()
        scores = self.network(inputs)
        loss = scores[:, 1:].amax(1) - scores[:, 0]
        (gradient,) = torch.autograd.grad(loss.sum(), inputs)
        self.all_losses.append(loss.detach())
        return Look(loss.detach(), gradient)

    def open(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        return ~self.closed[rows]


def plain_pgd(problem: Margin, ball: Linf, start: Tensor, steps: int) -> Tensor:
    """Return the lowest loss of each row by steps of a quarter of ε."""
    images, lowest = start, torch.full((len(start),), torch.inf)
    for _ in range(steps):
        found = problem.look(images, np.arange(len(start)))
        lowest = torch.minimum(lowest, found.loss)
        images = ball.project(images - EPSILON / 4 * found.gradient.sign(), problem.clean)
    return lowest


def test_it_gets_further_than_plain_descent_of_as_many_steps() -> None:
    problem, ball = Margin(60), Linf(EPSILON)
    start = ball.start(problem.clean, torch.Generator().manual_seed(0))
    plain = plain_pgd(problem, ball, start, 30)
    images, lowest = apgd(problem, ball, problem.clean, start, 30)
    assert (lowest < plain - 1e-4).float().mean() > 0.75
    assert lowest.mean() < plain.mean()
    torch.testing.assert_close(problem.look(images, np.arange(60)).loss, lowest)
    assert ball.holds(images, problem.clean).all()
    assert 0 <= images.min() <= images.max() <= 1


def test_the_best_image_is_kept() -> None:
    problem, ball = Margin(8), Linf(EPSILON)
    _, lowest = apgd(problem, ball, problem.clean, problem.clean, 25)
    assert len(problem.all_losses) == 25
    torch.testing.assert_close(lowest, torch.stack(problem.all_losses).amin(0))


def test_rows_that_are_done_are_not_asked_again() -> None:
    problem, ball = Margin(8), Linf(EPSILON)
    problem.closed[:5] = True
    apgd(problem, ball, problem.clean, problem.clean, 10)
    assert problem.asked == [8, *[3] * 9]
    problem.closed[:] = True
    problem.asked.clear()
    apgd(problem, ball, problem.clean, problem.clean, 10)
    assert problem.asked == [8]


def test_checkpoints_are_the_papers() -> None:
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert min(checkpoints(1)) == 1
