"""The confident attack raises the target's margin and asks no mutant."""

import pytest
import torch

from evaluation.adaptive.attack import Victims
from evaluation.adaptive.confident import ConfidentAttack
from evaluation.adaptive.settings import Confident
from evaluation.adaptive.torch_mutants import TorchMutants


def test_a_small_step_raises_the_margin_of_the_original_alone(
    victims: Victims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TorchMutants, "logits", None)
    targets = victims.targets(0)
    direction = ConfidentAttack(Confident(epsilon=0.1), victims).direction(victims.clean, targets)
    with torch.no_grad():
        before, after = (
            victims.mutants.original(images).gather(1, targets[:, None])
            - victims.mutants.original(images).gather(1, victims.labels[:, None])
            for images in (victims.clean, victims.clean + 0.01 * direction.sign())
        )
    assert (after > before).all()
