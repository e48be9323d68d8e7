"""Proofs of verdicts, against attacks on the very mutants and on the test as it is served."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard import Guard, Verdict
from mutant_guard.decision.evidence.kinds import UNIT, Doubts
from mutant_guard.decision.sequential.policies import Decision, Policy, advance
from mutant_guard.errors import StoreError
from mutant_guard.runtime.proof import STEPS, Proof, load_proof
from mutant_guard.store.reader import Store, load_store
from mutant_store.bank.export import open_mutants
from mutant_store.datasets import load
from mutant_store.graph.graph import Graph
from tests.support.service import KEY

EPSILONS = (0.02, 0.06, 0.1, 0.2, 0.3)
STEP = 1 / 1020
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def store(certified_store: Path) -> Store:
    return load_store(certified_store)


@pytest.fixture(scope="module")
def proof(store: Store) -> Proof:
    found = load_proof(store, store.policy("calibrated"))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return load("digits@test[0:60]").images


@pytest.fixture(scope="module")
def labels() -> NDArray[np.int64]:
    return load("digits@test[0:60]").labels


@pytest.fixture(scope="module")
def weights(store: Store) -> list[Floats]:
    """Weights and biases of the robust mutant, whose gradient an attack takes."""
    graph = Graph(open_mutants(store).robust[1])
    dense = [node for node in graph.nodes if node.op_type == "Gemm"]
    return [graph.array(name).astype(np.float64) for node in dense for name in node.input[1:]]


def attacked(
    images: Floats, target: NDArray[np.int64], epsilon: float, weights: list[Floats], steps: int = 40
) -> Floats:
    """Return images [N, 64] within ε of others, of which the mutant doubts the target little (PGD)."""
    first, one, second, other = weights
    low, high = np.clip(images - epsilon, 0, 1), np.clip(images + epsilon, 0, 1)
    found, wanted = images.copy(), np.eye(10)[target]
    for step in range(steps):
        hidden = np.maximum(found @ first + one, 0)
        logits = hidden @ second + other
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = powers / powers.sum(axis=1, keepdims=True) - wanted
        gradient = ((error @ second.T) * (hidden > 0)) @ first.T
        size = 2.5 * epsilon / steps * (1 if step < steps - 10 else 0.3)
        found = np.clip(found - size * np.sign(gradient), low, high)
    return found


def clearing(store: Store, policy: Policy, images: Floats, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which images [N, 64] the test clears where the original says ``labels`` without a doubt.

    The robust mutant is heard first and the others in the order of their numbers.
    """
    inputs, pool = images.reshape(-1, 1, 8, 8).astype(np.float32), store.manifest.mutants
    session = store.session(threads=1)
    features, count = session.features(inputs), len(inputs)
    numbers = np.arange(1, pool + 1)
    rows, mutants = np.repeat(np.arange(count), pool), np.tile(numbers, count)
    evidence = policy.evidence.of_mutants(
        session.scores(features, rows, mutants), np.repeat(labels, pool), mutants
    )
    nothing = np.zeros(count, dtype=np.int64)
    state = advance(policy, nothing, nothing, evidence.reshape(count, pool), np.full(count, pool))
    return np.asarray(state.decisions == Decision.NORMAL)


def test_no_attack_clears_what_is_proved_and_attacks_clear_what_is_not(
    store: Store, proof: Proof, pixels: NDArray[np.uint8], labels: NDArray[np.int64], weights: list[Floats]
) -> None:
    policy, images = store.policy("calibrated"), pixels.reshape(len(pixels), -1) / 255
    broken = []
    for epsilon in EPSILONS:
        held = proof.holds(pixels, labels, np.full(len(pixels), epsilon))
        least = proof.least_evidence(pixels, np.full(len(pixels), epsilon))
        evaded = np.zeros(len(pixels), dtype=np.bool_)
        for turn in range(1, 10):
            target = (labels + turn) % 10
            found = attacked(images, target, epsilon, weights)
            assert np.abs(found - images).max() <= epsilon + 1e-9
            cleared = clearing(store, policy, found, target)
            assert not (cleared & held).any()
            evaded |= cleared
            doubts = 1 - _shares(found, weights, store)[np.arange(len(found)), target]
            assert (least[np.arange(len(found)), target] <= np.rint(doubts * UNIT) + 2).all()
        assert held.mean() <= 1 - evaded.mean()
        broken.append(evaded.mean())
    assert broken[0] < 0.25 < broken[-1] / 2  # the attack finds what there is


def _shares(images: Floats, weights: list[Floats], store: Store) -> Floats:
    first, one, second, other = weights
    evidence = store.policy("calibrated").evidence
    assert isinstance(evidence, Doubts)
    logits = (np.maximum(images @ first + one, 0) @ second + other) / evidence.of_mutant(1)[0]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def test_a_larger_change_proves_less(
    proof: Proof, pixels: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    held = np.array(
        [proof.holds(pixels, labels, np.full(len(pixels), epsilon)) for epsilon in (0.0, *EPSILONS)]
    )
    assert not (held[1:] & ~held[:-1]).any()
    assert held[0].mean() > 0.8
    assert held[3].any()
    assert not held[-1].all()


def test_the_radius_is_the_last_step_that_is_proved(
    store: Store, proof: Proof, pixels: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    found = []
    for image, label in zip(pixels[:30], labels[:30], strict=True):
        several = np.broadcast_to(image, (STEPS + 1, *image.shape))
        held = proof.holds(
            several, np.full(STEPS + 1, label), np.linspace(0, 0.5, STEPS + 1, dtype=np.float64)
        )
        expected = max(int(held.argmin()) - 1, 0) * STEP
        radius = proof.radius(image, int(label))
        assert expected - 1e-6 <= radius <= expected
        found.append(radius)
    assert min(found) < 0.05 < max(found)
    boundaries = store.policy("calibrated").boundaries
    clearing = min(int(boundaries.adversarial_at_least[1]), int(boundaries.normal_at_most.max()) + 1)
    own = proof.least_evidence(pixels[:30], np.zeros(30))[np.arange(30), labels[:30]]
    seen = np.flatnonzero(own < clearing)
    assert len(seen) > 20
    # Where an image may be cleared under its own label, nothing is proved under another.
    assert [proof.radius(pixels[place], int(labels[place] + 1) % 10) for place in seen] == [0.0] * len(seen)


def test_a_weight_scales_the_evidence_and_the_alarm_bound_decides(
    store: Store, pixels: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    policy = store.policy("calibrated")
    evidence = policy.evidence
    assert isinstance(evidence, Doubts)
    none = np.zeros(len(pixels))
    full = Proof(store, policy).least_evidence(pixels, none)
    lighter = replace(policy, evidence=replace(evidence, weights=(0.25, 1.0, 1.0, 1.0, 1.0)))
    assert (Proof(store, lighter).least_evidence(pixels, none) == full // 4).all()
    # A quarter of any doubt stays below an alarm bound above 1/4, unless nothing is cleared at such sums.
    bound = int(policy.boundaries.adversarial_at_least[1])
    assert bound > UNIT // 4
    assert policy.boundaries.normal_at_most.max() > UNIT
    assert not Proof(store, lighter).holds(pixels, labels, none).any()
    told = f"counts at most 0.25 and an alarm takes {bound / UNIT:.3g}"
    assert told in str(Proof(store, lighter).obstacle)


def test_without_certified_mutants_or_doubts_nothing_is_proved(
    store: Store, published_store: tuple[Path, Store], pixels: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    _, bare = published_store
    policy = bare.policy("calibrated")
    assert load_proof(bare, policy) is None
    without = Proof(bare, policy)
    counting = Proof(store, replace(store.policy("calibrated"), evidence=policy.evidence))
    second = store.manifest.model_copy(update={"ranks": [0, 0, *store.manifest.ranks[2:]]})
    mixed = Proof(replace(store, manifest=second), store.policy("calibrated"))
    for found, words in (
        (without, "no certified mutant"),
        (counting, "counts label changes"),
        (mixed, "mutant 2 alone"),
    ):
        assert words in str(found.obstacle)
        assert not found.holds(pixels, labels, np.zeros(len(pixels))).any()
        assert found.radius(pixels[0], int(labels[0])) == 0


def test_bounds_of_another_network_are_refused(store: Store, pixels: NDArray[np.uint8]) -> None:
    policy = store.policy("calibrated")
    more = store.manifest.model_copy(update={"classes": [*store.manifest.classes, "another"]})
    with pytest.raises(StoreError, match=r"the bounds do not fit the store .*build the store again"):
        Proof(replace(store, manifest=more), policy).radius(pixels[0], 0)
    large = store.manifest.model_copy(update={"input": store.manifest.input.model_copy(update={"height": 9})})
    with pytest.raises(StoreError, match="the bounds do not fit the store"):
        Proof(replace(store, manifest=large), policy).radius(np.zeros((9, 8, 1), np.uint8), 0)
    (record,) = store.manifest.robust
    other = store.manifest.model_copy(
        update={"robust": [record.model_copy(update={"bounds": "prefix.onnx"})]}
    )
    with pytest.raises(StoreError, match=r"prefix.onnx (is damaged|holds no bounds)"):
        Proof(replace(store, manifest=other), policy)


def test_probabilities_that_evidence_does_not_tell_apart_bound_the_doubt(
    store: Store, pixels: NDArray[np.uint8]
) -> None:
    """At the temperature 10 a probability of 10⁻¹² counts as (10 · 10⁻¹²)^(1/10), which is 0.08."""
    policy = store.policy("calibrated")
    evidence = policy.evidence
    assert isinstance(evidence, Doubts)
    warm = replace(policy, evidence=replace(evidence, temperatures=(10.0,) * 5))
    scores = store.manifest.model_copy(update={"output_kind": "probabilities"})
    none = np.zeros(len(pixels))
    found = Proof(replace(store, manifest=scores), warm).least_evidence(pixels, none)
    logits = Proof(store, warm).least_evidence(pixels, none)
    most = (1 - 10 ** (-11 / 10)) * UNIT
    assert logits.max() > most
    assert (found == np.minimum(logits, int(most))).mean() > 0.5
    assert found.max() <= most


def test_an_answer_has_the_radius_of_a_normal_verdict_alone(
    certified_store: Path, proof: Proof, pixels: NDArray[np.uint8]
) -> None:
    with Guard(certified_store, order_key=KEY, threads=1) as guard:
        answers = [guard.classify(image) for image in pixels]
        for image, answer in zip(pixels, answers, strict=True):
            told = answer.explain().proved_epsilon
            normal = answer.verdict == Verdict.NORMAL
            assert told == (proof.radius(image, answer.label) if normal else None) == answer.proved_epsilon()
        assert {answer.verdict for answer in answers} == {Verdict.NORMAL, Verdict.ADVERSARIAL}
        assert "proved_epsilon" not in answers[0].explain(prove=False).model_fields_set
        assert guard.classify(pixels[0], guarded=False).proved_epsilon() is None
