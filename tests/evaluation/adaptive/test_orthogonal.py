"""The orthogonal attack serves one aim without working against the other."""

import torch
from torch.nn.functional import cross_entropy

from evaluation.adaptive.attack import Victims
from evaluation.adaptive.orthogonal import OrthogonalAttack, without_conflict
from evaluation.adaptive.settings import Orthogonal


def test_only_what_works_against_the_other_is_taken_away() -> None:
    direction = torch.tensor([[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]])[:, :, None, None]
    other = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [0.0, 0.0]])[:, :, None, None]
    found = without_conflict(direction, other)[:, :, 0, 0]
    assert found.tolist() == [[3, 4], [0, 4], [1, 2]]


def test_a_small_step_serves_the_aim_of_its_stage(victims: Victims) -> None:
    attack = OrthogonalAttack(Orthogonal(epsilon=0.1, mutants=40), victims)
    index = torch.arange(1, 41).expand(12, -1)

    def losses(images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            own = cross_entropy(victims.mutants.original(images), targets, reduction="none")
            kept = victims.mutants.logits(images, index).softmax(2)
            return own, 1 - kept.gather(2, targets[:, None, None].expand(12, 40, 1)).mean((1, 2))

    for stage, targets in enumerate(
        (victims.targets(0), victims.labels)
    ):  # not at the target yet; already there
        step = attack.direction(victims.clean, targets)
        step = 0.01 * step / step.flatten(1).norm(dim=1)[:, None, None, None]
        before, after = (losses(images, targets) for images in (victims.clean, victims.clean + step))
        assert (after[stage] < before[stage]).all()
        assert (after[1 - stage] <= before[1 - stage] + 1e-3).all()
