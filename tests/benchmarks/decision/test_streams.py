import numpy as np
import pytest

from benchmarks.decision import streams
from benchmarks.sections import Section
from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.characteristic import over_stream
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt, Mixture
from mutant_guard.decision.sequential.sprt import Sprt

PAPER = Sprt(0.3, 0.1)
CALIBRATED = FinitePoolSprt(200, Mixture((0, 10, 20), (0.6, 0.3, 0.1)), 80, 0.1, 0.02)


@pytest.fixture(scope="module")
def section() -> Section:
    policy = builders.without_replacement("calibrated", CALIBRATED, 0.05)
    return streams.measure(PAPER, CALIBRATED, policy, quick=True)


def test_simulated_means_are_the_exact_ones(section: Section) -> None:
    exact = over_stream(PAPER.boundaries(2000), np.array([PAPER.p1, PAPER.p0])).mutants
    rows = section.tables[0].rows
    assert [float(row[3]) for row in rows[:2]] == pytest.approx(exact, rel=0.03)
    assert [float(row[3]) for row in rows] == pytest.approx([float(row[4]) for row in rows], rel=0.03)


def test_every_bound_of_wald_is_kept(section: Section) -> None:
    values = {figure.name: figure.value for figure in section.figures}
    for side in ("p0", "p1"):
        assert values[f"paper_errors_at_{side}_vs_wald"] <= 1
        assert values[f"calibrated_errors_at_{side}_vs_bound"] <= 1
        for name in ("paper", "calibrated"):
            assert values[f"{name}_mutants_at_{side}_vs_wald"] >= 0.97
    assert 0.97 <= values["calibrated_mutants_at_clean_vs_wald"] <= 1.2
    assert values["calibrated_most_mutants_at_p0"] <= CALIBRATED.pool


def test_the_endless_test_is_that_of_the_pool_where_the_pool_is_large() -> None:
    large = FinitePoolSprt(200_000, Mixture((0, 10_000, 20_000), (0.6, 0.3, 0.1)), 80_000, 0.1, 0.02)
    endless = streams.with_replacement(CALIBRATED, 20).boundaries
    n = np.arange(1, 60)
    for z in range(12):
        changes = np.minimum(np.full_like(n, z), n)
        ratio = large.log_ratio(changes, n)
        assert ((ratio >= large.upper) == endless.is_normal(changes, n)).all()
        assert ((ratio <= large.lower) == endless.is_adversarial(changes, n)).all()
