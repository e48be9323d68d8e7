"""Logit matching moves towards a guide of another class."""

from dataclasses import replace

import pytest
import torch

from evaluation.adaptive.attack import Victims
from evaluation.adaptive.logit_matching import LogitMatchingAttack
from evaluation.adaptive.settings import LogitMatching


def test_guides_are_of_the_target_or_else_of_a_wrong_class(victims: Victims) -> None:
    attack = LogitMatchingAttack(LogitMatching(epsilon=0.1), victims)
    targets = victims.targets(0)
    attack.aim(targets)
    places = (attack.guides[:, None] == victims.guides).all((2, 3, 4)).float().argmax(1)
    there = torch.isin(targets, victims.guide_labels)
    assert there.sum() >= 6
    assert (victims.guide_labels[places] == targets)[there].all()
    few = victims.guide_labels < 4
    attack = LogitMatchingAttack(
        LogitMatching(epsilon=0.1),
        replace(victims, guides=victims.guides[few], guide_labels=victims.guide_labels[few]),
    )
    attack.aim(targets)
    places = (attack.guides[:, None] == victims.guides).all((2, 3, 4)).float().argmax(1)
    assert (victims.guide_labels[places] < 4).all()
    assert (victims.guide_labels[places] != victims.labels).all()


@pytest.mark.parametrize("asked", [0, 8])
def test_a_small_step_brings_the_logits_closer(victims: Victims, asked: int) -> None:
    attack = LogitMatchingAttack(LogitMatching(epsilon=0.1, mutants=asked), victims)
    targets = victims.targets(0)
    attack.aim(targets)
    moved = victims.clean + 0.01 * attack.direction(victims.clean, targets).sign()
    with torch.no_grad():
        wanted = victims.mutants.original(attack.guides)
        before, after = (
            (victims.mutants.original(images) - wanted).norm(dim=1) for images in (victims.clean, moved)
        )
    assert (after < before).all()


def test_guides_of_one_class_are_refused(victims: Victims) -> None:
    one = victims.guide_labels == victims.guide_labels[0]
    with pytest.raises(ValueError, match="of two classes"):
        LogitMatchingAttack(
            LogitMatching(epsilon=0.1),
            replace(victims, guides=victims.guides[one], guide_labels=victims.guide_labels[one]),
        )
