"""Campaigns against a store with a robust mutant: what they find is what the server lets pass."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.adaptive.strongest.balls import L0, L2, Ball, Linf
from evaluation.adaptive.strongest.campaign import campaign, ranked_targets
from evaluation.adaptive.strongest.hunt import Hunt
from evaluation.adaptive.strongest.judge import Judged, Pixels
from evaluation.adaptive.strongest.known import KnownGuard
from evaluation.adaptive.strongest.plan import plan
from evaluation.adaptive.strongest.settings import GradientAttack
from evaluation.adaptive.strongest.stored_guard import ServedGuard
from evaluation.server import ORDER_KEY
from mutant_guard.guard import Guard
from mutant_store.datasets import ImageData

pytestmark = pytest.mark.slow

JOINT = GradientAttack(name="joint", method="apgd", runs=4, steps=8)


def attacked_by(settings: GradientAttack, known: KnownGuard, hunt: Hunt, ball: Ball) -> Hunt:
    campaign(known, hunt, ball, plan(settings, known), settings.steps, settings.targets, seed=0)
    return hunt


@pytest.mark.parametrize("ball", [Linf(0.2), L2(1.0), L0(6)], ids=lambda ball: type(ball).__name__)
def test_what_is_found_passes_the_guard_under_a_wrong_label(
    ball: Ball, known: KnownGuard, hunt: Hunt, served: ServedGuard
) -> None:
    attacked_by(JOINT, known, hunt, ball)
    assert hunt.evaded[1].mean() >= 0.5
    changed = torch.from_numpy(hunt.found.astype(np.float32)).permute(0, 1, 4, 2, 3) / 255
    for policy in range(2):
        assert ball.holds(changed[policy], hunt.clean).all()
    labels = hunt.labels.tolist()
    with Guard(served.store.path.parent, order_key=ORDER_KEY) as guard:  # served at 20 %, the first policy
        for place in np.flatnonzero(hunt.evaded[0]):
            answer = guard.classify(hunt.found[0, place])
            assert answer.verdict == "normal"
            assert answer.label != labels[place]
    left = ~hunt.evaded
    assert (hunt.found[left] == np.repeat(hunt.pixels[None], 2, axis=0)[left]).all()
    assert ((hunt.steps >= 0) == hunt.evaded).all()


def test_more_runs_never_evade_less_and_images_that_evade_are_left(
    known: KnownGuard, served: ServedGuard, attacked: ImageData
) -> None:
    hunts = [
        attacked_by(
            JOINT.model_copy(update={"runs": runs}),
            known,
            Hunt(served, attacked.images, attacked.labels),
            Linf(0.12),
        )
        for runs in (1, 4)
    ]
    fewer, more = hunts
    assert (fewer.evaded <= more.evaded).all()
    assert (fewer.steps[fewer.evaded] == more.steps[fewer.evaded]).all()
    done = more.evaded.all(axis=0)
    assert 0 < done.sum() < len(more.pixels)
    whole = 4 * 9 * 8
    assert more.spent[~done].max() <= whole
    assert (more.spent[done] == more.steps[:, done].max(axis=0)).all()


def test_an_attack_that_ignores_the_mutants_evades_less(
    known: KnownGuard, served: ServedGuard, attacked: ImageData
) -> None:
    blind = KnownGuard(
        known.original, [known.original], [], known.temperatures[:2], known.weights[:2], known.policies
    )
    every, evading = plan(JOINT, known), []
    for guard, aims in ((known, every), (blind, [aim for aim in every if aim.heard == 1] * 2)):
        hunt = Hunt(served, attacked.images, attacked.labels)
        campaign(guard, hunt, Linf(0.16), aims, 8, None, seed=0)
        evading.append(hunt.evaded.mean())
    assert evading[0] > evading[1]


def test_targets_are_the_wrong_labels_in_order_of_likelihood(known: KnownGuard, hunt: Hunt) -> None:
    with torch.no_grad():
        ranked = ranked_targets(known, hunt.clean, hunt.labels)
    assert ranked.shape == (12, 9)
    assert not (ranked == hunt.labels[:, None]).any()
    assert (ranked.sort(1).values != ranked[:, :1]).sum() == 12 * 8


def test_plans_take_turns_between_what_the_first_and_the_last_mutant_clear(known: KnownGuard) -> None:
    assert {aim.policy for aim in plan(JOINT, known)} == {0}, "the policies are nearly the same"
    (strict, *_) = known.policies
    loose = replace(strict, alarming=10 * strict.alarming, clearing=10 * strict.clearing)
    apart = replace(known, policies=[strict, loose])
    aims = plan(GradientAttack(name="joint", method="apgd", runs=12), apart)
    assert {(aim.heard, aim.policy) for aim in aims} == {(1, 0), (5, 0), (1, 1), (5, 1)}
    assert {aim.loss for aim in aims} == {"odds", "margin", "dlr"}
    assert len(set(aims)) == 12
    assert {aim.through_clips for aim in aims} == {True, False}
    for combination in ("selective", "orthogonal"):
        settings = GradientAttack(name="x", method="apgd", runs=3, combination=combination)
        assert {aim.combination for aim in plan(settings, known)} == {combination}


class Doubtful:
    """Judge that clears nothing."""

    policies = ("5 %", "1 %")

    def judge(self, pixels: Pixels) -> Judged:
        return Judged(np.zeros(len(pixels), dtype=np.int64), np.zeros((2, len(pixels)), dtype=np.bool_))


def test_a_hunt_keeps_the_first_image_that_evades(attacked: ImageData) -> None:
    hunt = Hunt(Doubtful(), attacked.images[:2], np.array([0, 0]))
    images = np.stack([np.full((8, 8, 1), value, dtype=np.uint8) for value in (10, 20)])
    answers = Judged(np.array([1, 0]), np.array([[True, True], [False, True]]))
    hunt.spent[:] = 7
    hunt.keep(answers, images, np.array([0, 1]))
    assert hunt.evaded.tolist() == [[True, False], [False, False]]  # the second is labelled rightly
    hunt.keep(answers, images + 1, np.array([0, 1]))
    assert (hunt.found[0, 0] == 10).all()
    assert hunt.fooled.tolist() == [True, False]
    assert hunt.steps.tolist() == [[7, -1], [-1, -1]]
