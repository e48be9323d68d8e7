import numpy as np
import pytest

from benchmarks import streams
from benchmarks.sections import Section
from detection.characteristic import over_stream
from detection.finite_pool import FinitePoolSprt, Mixture
from detection.sprt import Sprt

PAPER = Sprt(0.3, 0.1)
CALIBRATED = FinitePoolSprt(200, Mixture((0, 10, 20), (0.6, 0.3, 0.1)), 80, 0.1, 0.02)


@pytest.fixture(scope="module")
def section() -> Section:
    return streams.measure(PAPER, CALIBRATED, quick=True)


def test_simulated_means_are_the_exact_ones(section: Section) -> None:
    exact = over_stream(PAPER.boundaries(2000), np.array([PAPER.p1, PAPER.p0])).mutants
    shown = [float(row[3]) for row in section.tables[0].rows[:2]]
    assert shown == pytest.approx(exact, rel=0.03)


def test_every_bound_of_wald_is_kept(section: Section) -> None:
    values = {figure.name: figure.value for figure in section.figures}
    for name in ("paper", "calibrated"):
        assert values[f"{name}_misses_vs_bound"] <= 1
        assert values[f"{name}_false_alarms_vs_bound"] <= 1
        assert values[f"{name}_mutants_at_p1_vs_wald"] >= 0.97
    assert values["calibrated_most_mutants_at_p0"] <= CALIBRATED.pool


def test_the_endless_test_is_that_of_the_pool_where_the_pool_is_large() -> None:
    large = FinitePoolSprt(200_000, Mixture((0, 10_000, 20_000), (0.6, 0.3, 0.1)), 80_000, 0.1, 0.02)
    endless = streams.with_replacement(CALIBRATED).boundaries
    n = np.arange(1, 60)
    for z in range(12):
        changes = np.minimum(np.full_like(n, z), n)
        ratio = large.log_ratio(changes, n)
        assert ((ratio >= large.upper) == endless.is_normal(changes, n)).all()
        assert ((ratio <= large.lower) == endless.is_adversarial(changes, n)).all()
