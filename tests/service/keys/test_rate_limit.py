"""The token bucket of a key.

It is never faster than allowed and never slower than promised, and a full bucket is forgotten.
"""

from itertools import combinations
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.keys import rate_limit
from service.keys.api_keys import ApiKey
from service.keys.rate_limit import RateLimit
from tests.support.api_keys import new_key
from tests.support.service import Clock


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("service.keys.rate_limit.time", clock)
    return clock


def limited(rate: float | None, burst: int | None = None, name: str = "alice", **more: Any) -> ApiKey:
    return new_key(name, requests_per_second=rate, burst=burst, **more)[1]


def passed(limits: RateLimit, key: ApiKey, requests: int) -> int:
    """Return how many of ``requests`` requests at once may pass."""
    return sum(limits.take(key) == 0.0 for _ in range(requests))


def test_a_key_without_a_rate_passes_always_and_is_not_kept() -> None:
    limits = RateLimit()
    assert passed(limits, limited(None), 1000) == 1000
    assert not limits._buckets


@pytest.mark.parametrize(
    ("rate", "burst", "at_once"), [(5, 2, 2), (5, None, 5), (2.5, None, 3), (0.01, None, 1), (1, 100, 100)]
)
def test_as_many_pass_at_once_as_the_burst_allows(rate: float, burst: int | None, at_once: int) -> None:
    assert passed(RateLimit(), limited(rate, burst), 200) == at_once


def test_the_wait_is_the_time_until_the_next_one_passes(clock: Clock) -> None:
    limits, key = RateLimit(), limited(4, 2)
    assert passed(limits, key, 3) == 2
    assert limits.take(key) == pytest.approx(0.25)
    clock.now += 0.2
    assert limits.take(key) == pytest.approx(0.05)
    clock.now += 0.05
    assert passed(limits, key, 2) == 1


def test_asking_too_early_does_not_put_it_off(clock: Clock) -> None:
    limits, key = RateLimit(), limited(1, 1)
    limits.take(key)
    taken = 0
    for _ in range(100):
        clock.now += 0.1
        taken += limits.take(key) == 0.0
    assert taken == 10


def test_keys_do_not_share_a_bucket() -> None:
    limits, alice, bob = RateLimit(), limited(1), limited(1, name="bob")
    assert passed(limits, alice, 2) == 1
    assert passed(limits, bob, 2) == 1


def test_a_changed_limit_holds_at_once(clock: Clock) -> None:
    limits, slow = RateLimit(), limited(0.001, 10)
    assert passed(limits, slow, 11) == 10
    fast = slow.model_copy(update={"requests_per_second": 10.0})
    assert limits.take(fast) == pytest.approx(0.1)
    clock.now += 0.5
    assert passed(limits, fast, 20) == 5
    clock.now += 60
    assert passed(limits, fast.model_copy(update={"burst": 2}), 20) == 2


_RATES = st.floats(0.01, 1000) | st.integers(1, 20).map(float)
_BURSTS = st.none() | st.integers(1, 30)


@given(_RATES, _BURSTS, st.lists(st.just(0.0) | st.floats(0, 3) | st.floats(0, 0.01), max_size=60))
def test_in_no_window_pass_more_than_the_burst_and_the_rate_allow(
    rate: float, burst: int | None, gaps: list[float]
) -> None:
    """Gaps are in seconds, and three requests follow each."""
    limits, key, now = RateLimit(), limited(rate, burst), Clock()
    allowed = burst or max(1, ceil(rate))
    times: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate_limit, "time", now)
        for gap in gaps:
            now.now += gap
            times += [now.now for _ in range(3) if limits.take(key) == 0.0]
    for (first, start), (last, end) in combinations(enumerate(times), 2):
        assert last - first + 1 <= allowed + rate * (end - start) + 1e-6


@given(_RATES, _BURSTS, st.lists(st.floats(0, 2), min_size=1, max_size=30))
def test_whoever_waits_as_long_as_told_passes_and_whoever_does_not_does_not(
    rate: float, burst: int | None, shares: list[float]
) -> None:
    """Shares are fractions of the wait that the caller was told."""
    limits, key, now = RateLimit(), limited(rate, burst), Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate_limit, "time", now)
        passed(limits, key, burst or max(1, ceil(rate)))
        for share in shares:
            wait = limits.take(key)
            assert wait > 0
            now.now += share * wait
            if abs(share - 1) > 1e-3:
                assert (limits.take(key) == 0.0) is (share > 1)
            now.now += wait
            while limits.take(key) == 0.0:
                pass


def test_keys_that_come_and_go_leave_nothing(clock: Clock) -> None:
    limits, most = RateLimit(), 0
    for number in range(5000):
        clock.now += 0.1
        assert limits.take(limited(1, 3, sha256=f"{number:064x}")) == 0.0
        most = max(most, len(limits._buckets))
    assert most <= 65  # at ten keys a second, each bucket is full again after one second


def test_what_is_forgotten_was_full(clock: Clock) -> None:
    """Many other keys in between do not give a key its burst back."""
    limits, key = RateLimit(), limited(0.01, 2)
    assert passed(limits, key, 3) == 2
    for number in range(1000):
        clock.now += 0.01
        limits.take(limited(100, 1, sha256=f"{number:064x}"))
    assert passed(limits, key, 3) == 0
    clock.now += 90
    assert passed(limits, key, 3) == 1
