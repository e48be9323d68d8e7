"""Evidence: how much mutants' scores count against a label."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mutant_guard.decision.calibration.recording import Recording, joined
from mutant_guard.decision.evidence.kinds import LABEL_CHANGES, UNIT, Doubts, doubts, fitted_temperature
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.decision.sequential.staged import staged

Floats = NDArray[np.floating[Any]]


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def scores(rows: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 3, (rows, 5)).astype(np.float32)


def test_a_label_change_is_one_and_the_original_counts_nothing() -> None:
    rows = scores(40)
    labels = np.arange(40) % 5
    assert (
        LABEL_CHANGES.of_mutants(rows, labels).tolist()
        == (rows.argmax(axis=1) != labels).astype(int).tolist()
    )
    assert LABEL_CHANGES.of_original(rows).tolist() == [0] * 40


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_doubt_is_what_the_label_lacks_in_probability(temperature: float) -> None:
    rows, labels = scores(40), np.arange(40) % 5
    expected = 1 - softmax(rows.astype(np.float64) / temperature)[np.arange(40), labels]
    np.testing.assert_allclose(doubts(rows, labels, temperature, "logits") / UNIT, expected, atol=1 / UNIT)


def test_probabilities_give_the_doubts_of_their_logits() -> None:
    rows, labels = scores(40), np.arange(40) % 5
    found = doubts(softmax(rows).astype(np.float32), labels, 2.0, "probabilities")
    np.testing.assert_allclose(found, doubts(rows, labels, 2.0, "logits"), atol=UNIT * 1e-5)
    certain = np.array([[1, 0, 0]], np.float32)
    assert doubts(certain, np.array([0]), 1.0, "probabilities").tolist() == [0]
    assert doubts(certain, np.array([1]), 1.0, "probabilities").tolist() == [UNIT]


def test_the_original_counts_by_its_weight_and_its_own_temperature() -> None:
    rows = scores(30)
    found = Doubts(temperature=1.0, own_temperature=2.0, own_weight=0.5).of_original(rows)
    expected = 0.5 * (1 - softmax(rows.astype(np.float64) / 2).max(axis=1))
    np.testing.assert_allclose(found / UNIT, expected, atol=1 / UNIT)


@pytest.mark.parametrize("wrong", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, -0.1)])
def test_doubts_that_make_no_sense_are_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="temperatures must be above 0"):
        Doubts(*wrong)


@given(st.floats(0.3, 4.0), st.integers(0, 5))
def test_the_temperature_that_made_the_labels_is_found(temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 3, (4000, 4)).astype(np.float32)
    made = softmax(rows.astype(np.float64) / temperature)
    labels = (made.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)
    found = fitted_temperature(rows, labels, "logits")
    assert found == pytest.approx(temperature, rel=0.15)


def recording(seed: int = 0) -> Recording:
    rng = np.random.default_rng(seed)
    soft = rng.integers(0, UNIT, (7, 3), dtype=np.int32)
    return Recording(soft > UNIT // 2, rng.random(7) < 0.8, soft, rng.integers(0, UNIT, 7, dtype=np.int32))


def policy(own_weight: float = 0.5) -> Policy:
    return staged("calibrated", Doubts(1.0, 1.0, own_weight), UNIT, (), 3)


def test_a_recording_gives_each_policy_its_evidence() -> None:
    part = recording()
    assert part.own_doubts is not None
    said, start = part.evidence(policy())
    assert said is part.doubts
    assert start.tolist() == np.rint(part.own_doubts * 0.5).astype(int).tolist()
    hard = Recording(part.changes, part.correct)
    with pytest.raises(ValueError, match="none were recorded"):
        hard.evidence(policy())


def test_doubts_go_along_when_images_or_mutants_are_taken() -> None:
    part = recording()
    assert part.doubts is not None
    assert part.own_doubts is not None
    mixed = part.reordered(4)
    assert mixed.doubts is not None
    assert (mixed.changes == (mixed.doubts > UNIT // 2)).all()
    assert (np.sort(mixed.doubts, axis=1) == np.sort(part.doubts, axis=1)).all()
    assert (mixed.doubts != part.doubts).any()
    assert (mixed.changes == part.shuffled(4)).all()
    some = part.part(np.array([4, 1]))
    assert some.doubts is not None
    assert some.doubts.tolist() == part.doubts[[4, 1]].tolist()
    both = joined([some, part])
    assert both.doubts is not None
    assert both.own_doubts is not None
    assert both.doubts.tolist() == [*some.doubts.tolist(), *part.doubts.tolist()]
    assert len(both.own_doubts) == len(both.changes) == 9
    assert joined([some, Recording(part.changes, part.correct)]).doubts is None


def test_with_companions_the_original_speaks_by_the_excess_of_its_energy() -> None:
    evidence = Doubts(1.0, 1.0, 2.0, companions=1, energy=np.log(2.0), energy_spread=0.5)
    clean = np.zeros((1, 2), dtype=np.float32)
    spreads = np.array([0.0, 1.5, 2.5, 6.5, 50.0, -9.0], dtype=np.float32)
    scores = (clean + 0.5 * spreads[:, None]).astype(np.float32)
    expected = np.array([0.0, 0.0, 0.1, 0.5, 1.0, 0.0])
    assert np.allclose(evidence.own(scores) / UNIT, expected, atol=1e-5)
    assert (evidence.of_original(scores) == 2 * evidence.own(scores)).all()
    broken = np.array([[np.nan, 0.0], [np.inf, 0.0]], dtype=np.float32)
    assert (evidence.own(broken) == UNIT).all()


def test_without_known_energy_an_original_with_companions_says_nothing() -> None:
    scores = np.array([[5.0, 0.0], [0.0, 0.1]], dtype=np.float32)
    assert (Doubts(1.0, 1.0, 1.0, companions=1).own(scores) == 0).all()
    assert (Doubts(1.0, 1.0, 1.0).own(scores) > 0).all()
    with pytest.raises(ValueError, match="temperatures must be above 0"):
        Doubts(1.0, 1.0, 1.0, companions=1, energy_spread=-1.0)


def test_beside_smaller_companions_the_originals_doubt_counts_as_well() -> None:
    evidence = Doubts(1.0, 1.0, 1.0, companions=1, energy=np.log(2.0), energy_spread=0.5, beside=0.5)
    scores = np.array([[0.0, 0.0], [1.25, 1.25], [9.0, 9.0], [9.0, -9.0]], dtype=np.float32)
    assert np.allclose(evidence.own(scores) / UNIT, [0.25, 0.25 + 0.1, 1.0, 1.0], atol=1e-5)
    unknown = Doubts(1.0, 1.0, 1.0, companions=1, beside=0.5)
    assert np.allclose(unknown.own(scores) / UNIT, [0.25, 0.25, 0.25, 0.0], atol=1e-5)
    with pytest.raises(ValueError, match="at least 0"):
        Doubts(1.0, 1.0, 1.0, companions=1, beside=-0.1)
