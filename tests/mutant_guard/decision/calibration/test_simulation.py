from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutant_guard.decision.calibration.intervals import clopper_pearson
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.simulation import estimate, mutants_used, replay, run
from mutant_guard.decision.sequential.boundaries import Boundaries
from mutant_guard.decision.sequential.builders import fixed, sequential, without_replacement
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt
from mutant_guard.decision.sequential.policies import Decision, ErrorBounds, Hypotheses, Policy
from mutant_guard.decision.sequential.sprt import Sprt
from tests.mutant_guard.decision.clean_images import recording, with_counts
from tests.mutant_guard.decision.exhaustive import all_boundaries, orders, rule_of, walk

FINITE = without_replacement("calibrated", FinitePoolSprt.between(40, 4, 12, 0.05, 0.02), 0.02)


@settings(deadline=None)
@given(all_boundaries(), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_run_walks_every_image_through_its_order(boundaries: Boundaries, unused: int, seed: int) -> None:
    pool = boundaries.mutants + unused
    policy = Policy("any", boundaries, pool, Hypotheses(0, 1), ErrorBounds(0.05, 0.05))
    rng = np.random.default_rng(seed)
    evidence = rng.random((5, pool)) < rng.random((5, 1))
    found = run(policy, evidence)
    names = {Decision.NORMAL: "normal", Decision.ADVERSARIAL: "adversarial", Decision.EXHAUSTED: "undecided"}
    for row, z, n, decision in zip(evidence.tolist(), *found, strict=True):
        assert (names[Decision(decision)], n) == walk(rule_of(boundaries), row[: boundaries.mutants])
        assert z == sum(row[:n])


def test_replay_is_reproducible_and_depends_on_the_seed() -> None:
    part = recording(300, 5, pool=40)
    first, again, other = (replay(FINITE, part, seed) for seed in (1, 1, 2))
    assert first.mutants.tolist() == again.mutants.tolist()
    assert first.mutants.tolist() != other.mutants.tolist()
    assert run(FINITE, part.shuffled(1)).mutants.tolist() == first.mutants.tolist()


@settings(deadline=None)
@given(all_boundaries(6), st.integers(0, 1), st.data())
def test_mutants_used_are_counted_over_all_orders(
    boundaries: Boundaries, unused: int, data: st.DataObject
) -> None:
    pool = boundaries.mutants + unused
    counts = data.draw(st.lists(st.integers(0, pool), min_size=1, max_size=4))
    expected = [Fraction(0)] * (boundaries.mutants + 1)
    for count in counts:
        ways = [walk(rule_of(boundaries), order[: boundaries.mutants])[1] for order in orders(pool, count)]
        for used in ways:
            expected[used] += Fraction(1, len(counts) * len(ways))
    policy = Policy("any", boundaries, pool, Hypotheses(0, 1), ErrorBounds(0.05, 0.05))
    found = mutants_used(policy, np.array(counts))
    assert found.tolist() == pytest.approx([float(share) for share in expected], abs=1e-12)


@pytest.mark.parametrize(
    "policy",
    [
        FINITE,
        FINITE.up_to(9),
        sequential("paper", Sprt(0.3, 0.1), 40),
        fixed("fixed", 7, 2, 40, ErrorBounds(0.05, 0.05)),
    ],
    ids=["finite", "capped", "paper", "fixed"],
)
def test_expected_mutants_are_those_of_many_replays(policy: Policy) -> None:
    part, replays = recording(60, 0, pool=40), 300
    many = Recording(np.tile(part.changes, (replays, 1)), np.tile(part.correct, replays))
    found = estimate(policy, part, replay(policy, part, 0))
    used = replay(policy, many, 1).mutants.reshape(replays, -1)
    # The images are the same in every replay; only their orders vary.
    error = np.sqrt((used.var(axis=0, ddof=1) / replays).sum()) / used.shape[1]
    assert abs(used.mean() - found.mean_mutants) <= 4 * error + 1e-9
    assert np.mean(used <= found.p99_mutants) > 0.985
    assert np.mean(used <= found.p99_mutants - 1) < 0.995


@pytest.mark.parametrize(("slow", "p99"), [(0, 3), (1, 3), (2, 10), (50, 10)])
def test_p99_is_the_least_number_that_99_of_100_images_stay_within(slow: int, p99: int) -> None:
    """An image without label changes is normal after 3 mutants.

    An image whose labels all change is adversarial after 10.
    """
    n = np.arange(21)
    boundaries = Boundaries(
        np.where(n < 3, -1, 0), np.maximum(n + 1 - np.maximum(n - 9, 0), 10).clip(max=n + 1)
    )
    policy = Policy("any", boundaries, 20, Hypotheses(0, 20), ErrorBounds(0.05, 0.05))
    part = with_counts(np.where(np.arange(100) < slow, 20, 0), 20)
    found = estimate(policy, part, replay(policy, part, 0))
    assert found.p99_mutants == p99
    assert found.mean_mutants == pytest.approx(3 + 0.07 * slow)


def test_wrongly_classified_images_count_in_the_baseline_only() -> None:
    correct = np.ones(40, dtype=np.bool_)
    correct[:4] = False
    part = with_counts(np.where(correct, 0, 40), 40, correct)
    found = estimate(FINITE, part, replay(FINITE, part, 0), 0.9)
    assert found.false_alarms == clopper_pearson(0, 36, 0.9)
    assert found.alarms == clopper_pearson(4, 40, 0.9)
    assert found.undecided == clopper_pearson(0, 40, 0.9)
    assert found.alarms_or_undecided == clopper_pearson(4, 40, 0.9)


@pytest.mark.parametrize("policy", [sequential("short", Sprt(0.25, 0.05), 10), FINITE.up_to(2)])
def test_images_without_a_verdict_are_counted_apart(policy: Policy) -> None:
    """Both policies end before an image without label changes is known to be normal."""
    part = with_counts(np.array([0] * 15 + [policy.pool] * 5), policy.pool)
    found = estimate(policy, part, replay(policy, part, 0))
    adversarial = 5 if policy.pool == 10 else 0
    assert (found.undecided.count, found.alarms.count) == (20 - adversarial, adversarial)
    assert (found.false_alarms.count, found.false_alarms.trials) == (adversarial, 20)
    assert found.alarms_or_undecided.count == 20
