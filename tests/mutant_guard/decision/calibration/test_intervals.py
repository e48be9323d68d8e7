import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mutant_guard.decision.calibration.intervals import binomial_cdf, clopper_pearson


@given(
    st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_agrees_with_the_beta_quantiles(counts: tuple[int, int], confidence: float) -> None:
    count, trials = counts
    found = clopper_pearson(count, trials, confidence)
    tail = (1 - confidence) / 2
    low = stats.beta.ppf(tail, count, trials - count + 1) if count else 0.0
    high = stats.beta.ppf(1 - tail, count + 1, trials - count) if count < trials else 1.0
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.low <= found.rate <= found.high


@pytest.mark.parametrize(("count", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(count: int, trials: int) -> None:
    with pytest.raises(ValueError, match="need 0 <= count"):
        clopper_pearson(count, trials)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(-2, n), st.just(n))), st.floats(1e-9, 1))
def test_binomial_probabilities_add_up(counts: tuple[int, int], p: float) -> None:
    assert binomial_cdf(*counts, p) == pytest.approx(stats.binom.cdf(*counts, p), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("count", [-1, 0, 3, 5])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_certain_and_impossible_successes_are_counted_too(count: int, p: float) -> None:
    assert binomial_cdf(count, 5, p) == pytest.approx(stats.binom.cdf(count, 5, p))
