"""The joint attack raises the target under the original and the mutants."""

import torch

from evaluation.adaptive.attack import Victims
from evaluation.adaptive.joint import JointAttack
from evaluation.adaptive.settings import Joint


def test_a_small_step_raises_the_target_everywhere(victims: Victims) -> None:
    attack = JointAttack(Joint(epsilon=0.1, mutants=40), victims)
    targets = victims.targets(0)
    direction = attack.direction(victims.clean, targets)
    moved = victims.clean + 0.01 * direction.sign()
    index = torch.arange(41).expand(12, -1)
    with torch.no_grad():
        before, after = (
            victims.mutants.logits(images, index)
            .log_softmax(2)
            .gather(2, targets[:, None, None].expand(12, 41, 1))
            for images in (victims.clean, moved)
        )
    assert (after.mean((1, 2)) > before.mean((1, 2))).all()
    assert (after > before).float().mean() > 0.95
