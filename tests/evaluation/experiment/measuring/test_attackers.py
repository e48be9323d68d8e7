"""Adaptive attacks of the run: on the same images, within their size, in their order."""

import numpy as np
import pytest

from evaluation.experiment.material.config import AdaptiveSettings
from evaluation.experiment.material.pools import Pools
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.measuring import attackers as module
from evaluation.experiment.measuring.attackers import attackers
from evaluation.experiment.measuring.robustness import Attacked
from mutant_guard.errors import ModelError
from mutant_store.networks.inference import logits
from tests.support.demo import SilentReport
from tests.support.experiment import Ran


def _fails(*told: object) -> None:
    raise AssertionError(told)


@pytest.fixture(scope="module")
def settings(ran: Ran) -> AdaptiveSettings:
    assert ran.settings.adaptive is not None
    return ran.settings.adaptive


@pytest.fixture(scope="module")
def attacks(subject: ExperimentSubject, settings: AdaptiveSettings, pools: Pools, ran: Ran) -> list[Attacked]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("adaptive", "attacked"):  # what was made is not made again
            patch.setattr(module, name, _fails)
        key = pools.keys("nai")[0]
        return attackers(subject, settings, pools, key, ran.workspace.within("adaptive"), SilentReport())


def test_every_attack_is_made_with_every_knowledge(attacks: list[Attacked]) -> None:
    assert [(one.attack, one.knowledge, one.epsilon) for one in attacks] == [
        ("pgd", "none", 0.1),
        ("joint", "method", 0.1),
        ("joint", "store", 0.1),
    ]
    assert len({one.samples.kind for one in attacks}) == 3
    joint = {one.knowledge: one.samples.images for one in attacks if one.attack == "joint"}
    assert (joint["method"] != joint["store"]).any(), "other mutants lead elsewhere"


def test_all_attack_the_first_right_images(attacks: list[Attacked], subject: ExperimentSubject) -> None:
    for one in attacks:
        assert (one.samples.sources == subject.right[:10]).all()
        assert (one.samples.labels == subject.test.labels[one.samples.sources]).all()
        clean = subject.test.images[one.samples.sources].astype(int)
        moved = np.abs(one.samples.images - clean)
        assert 0 < moved.max() <= 0.1 * 255 + 0.5


def test_who_fools_is_asked_of_the_classifier(attacks: list[Attacked], subject: ExperimentSubject) -> None:
    for one in attacks:
        model = subject.model
        labels = logits(model.network, model.classifier, one.samples.images).argmax(axis=1)
        assert (one.fools == (labels != one.samples.labels)).all()
    assert any(one.fools.any() for one in attacks)


def test_attacks_know_no_other_operator(
    subject: ExperimentSubject, settings: AdaptiveSettings, pools: Pools, ran: Ran
) -> None:
    key = pools.keys("ws")[0]
    with pytest.raises(ModelError, match="ws"):
        attackers(subject, settings, pools, key, ran.workspace.within("adaptive"), SilentReport())


def test_some_attackers_may_be_left_out(
    subject: ExperimentSubject, settings: AdaptiveSettings, pools: Pools, ran: Ran, attacks: list[Attacked]
) -> None:
    fewer = settings.model_copy(update={"knowledge": ("store",)})
    place = ran.workspace.within("adaptive")
    found = attackers(subject, fewer, pools, pools.keys("nai")[0], place, SilentReport())
    assert [one.knowledge for one in found] == ["none", "store"]
    assert (found[1].samples.images == attacks[2].samples.images).all()
