import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from detection.intervals import clopper_pearson


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
