"""Guard as it answers, and as its attacker knows it, held to the served one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.adaptive.mutants import scaled
from evaluation.adaptive.stored_mutants import from_store
from evaluation.adaptive.strongest.known import KnownGuard, odds
from evaluation.adaptive.strongest.stored_guard import ServedGuard, known_guard
from evaluation.server import ORDER_KEY
from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.errors import ModelError
from mutant_guard.guard import Guard
from mutant_guard.store.reader import Store, load_store
from mutant_store.datasets import load
from mutant_store.networks import CLASSIFIERS
from mutant_store.networks.weights import TrainedModel

pytestmark = pytest.mark.slow


def test_it_answers_as_the_server_does(robust_store: Store) -> None:
    judge = ServedGuard(robust_store, {"served": robust_store.policy("calibrated")})
    clean = load("digits@test").part(0, 60).images
    noise = np.random.default_rng(0).integers(-90, 90, clean.shape)
    images = np.concatenate([clean, np.clip(clean + noise, 0, 255).astype(np.uint8)])
    found, scores, sums = judge.doubted(images)
    with Guard(robust_store.path.parent, order_key=ORDER_KEY) as guard:
        answers = [guard.classify(image) for image in images]
    assert found.labels.tolist() == [answer.label for answer in answers]
    assert found.cleared[0].tolist() == [answer.verdict == "normal" for answer in answers]
    assert 0 < found.cleared.sum() < len(images)
    assert {answer.mutants for answer in answers} >= {1, 2}  # after the first stage, and later
    unit = robust_store.policy("calibrated").evidence.unit
    heard = [(answer.judgement.own_evidence + answer.judgement.evidence[0]) / unit for answer in answers]
    np.testing.assert_allclose(sums, heard, atol=1e-5)
    assert (scores.argmax(1) == found.labels).all()


def test_what_is_known_adds_up_as_served(
    known: KnownGuard, policies: dict[str, Policy], served: ServedGuard
) -> None:
    assert (len(known.firsts), len(known.others)) == (1, 4)
    images = load("digits@test").part(0, 30).images
    found, _, sums = served.doubted(images)
    labels = torch.from_numpy(found.labels)
    with torch.no_grad():
        doubts = [
            known.weights[number]
            * odds(network(scaled(images)), labels, known.temperatures[number]).sigmoid()
            for number, network in enumerate((known.original, *known.firsts))
        ]
    np.testing.assert_allclose((doubts[0] + doubts[1]).numpy(), sums, atol=1e-4)
    for bounds, policy in zip(known.policies, policies.values(), strict=True):
        assert isinstance(policy.evidence, Doubts)
        assert bounds.alarming[-1] == policy.boundaries.adversarial_at_least[-1] / policy.evidence.unit
    strict, loose = known.policies
    assert strict.alarming[1] < loose.alarming[1]


def test_guards_that_do_not_add_up_doubts_are_refused(demo_store: Path, companion_store: Path) -> None:
    for path, match in (
        (demo_store, "does not add up doubts"),
        (companion_store, "companions|doubts of logits"),
    ):
        store = load_store(path)
        with pytest.raises(ModelError, match=match):
            known_guard(store, {"served": store.policy("calibrated")})


def test_older_attacks_hear_the_robust_mutant_first(robust_store: Store) -> None:
    spec = replace(CLASSIFIERS["digits-net"], mean=(0.0,), std=(1.0,))
    mutants = from_store(robust_store, TrainedModel("perceptron", nn.Identity(), spec))
    drawn = mutants.sample(20, 2, torch.Generator().manual_seed(0))
    assert (drawn[:, 0] == 1).all()
    assert set(drawn[:, 1].tolist()) == {2, 3, 4, 5}
    images = scaled(load("digits@test").part(0, 3).images)
    table = mutants.logits(images, torch.tensor([[0, 1], [1, 2], [3, 3]]))
    torch.testing.assert_close(table[0, 0], mutants.original(images)[0])
    torch.testing.assert_close(table[2, 0], table[2, 1])
    assert (table[0, 0] - table[0, 1]).abs().max() > 0.01
