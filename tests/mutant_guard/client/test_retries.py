"""Retries: the pauses that Retry-After asks for, and the pauses without it."""

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutant_guard.client.retries import NEVER, Retries, retry_after

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@given(st.integers(min_value=0, max_value=10**9))
def test_seconds_are_taken_as_they_are(seconds: int) -> None:
    assert retry_after(f" {seconds} ", NOW) == seconds


@given(st.integers(min_value=-(10**7), max_value=10**7))
def test_a_date_is_the_time_until_then_and_never_negative(ahead: int) -> None:
    date = format_datetime(NOW + timedelta(seconds=ahead), usegmt=True)
    assert retry_after(date, NOW) == max(0, ahead)


@pytest.mark.parametrize(
    "date",
    ["Wed, 04 Mar 2026 05:06:17 GMT", "Wednesday, 04-Mar-26 05:06:17 GMT", "Wed Mar  4 05:06:17 2026"],
)
def test_the_three_forms_of_a_date_are_read(date: str) -> None:
    assert retry_after(date, NOW) == 10


def test_another_time_zone_is_heeded() -> None:
    assert retry_after("Wed, 04 Mar 2026 06:06:17 +0100", NOW) == 10


@given(st.one_of(st.text(), st.from_regex(r"[-+]?[0-9٠-٩]*[.,:eE]?[0-9]*"), st.text("0123456789:, GMTan-+")))
def test_whatever_comes_it_is_a_wait_or_nothing(text: str) -> None:
    wait = retry_after(text, NOW)
    assert wait is None or wait >= 0


@pytest.mark.parametrize("text", [None, "", "soon", "-1", "+5", "1e3", "nan", "inf", "٣", "1 2", "0x10"])
def test_what_is_neither_is_nothing(text: str | None) -> None:
    assert retry_after(text, NOW) is None


def test_more_digits_than_a_number_has_are_for_ever() -> None:
    assert retry_after("9" * 10_000, NOW) == math.inf


@given(
    draw=st.floats(0, 1),
    attempts=st.integers(1, 10**6),
    elapsed=st.floats(0, 1000),
    asked=st.none() | st.floats(0, allow_nan=False),
)
def test_no_pause_ends_after_the_time_for_all_of_it(
    draw: float, attempts: int, elapsed: float, asked: float | None
) -> None:
    retries = Retries(attempts=10**7, seconds=30, draw=lambda: draw)
    wait = retries.pause(attempts, elapsed, asked)
    if wait is None:
        least = asked or 0.0
        assert elapsed + least + retries.longest_pause > 30
    else:
        assert 0 <= wait <= 30 - elapsed
        assert wait >= (asked or 0)


def test_the_longest_pause_doubles_up_to_a_limit() -> None:
    retries = Retries(attempts=10**7, seconds=1e9, first_pause=0.5, longest_pause=3, draw=lambda: 1.0)
    assert [retries.pause(n, 0, None) for n in (1, 2, 3, 4, 10**6)] == [0.5, 1, 2, 3, 3]
    shortest = Retries(first_pause=0.5, draw=lambda: 0.0)
    assert shortest.pause(3, 0, None) == 0


def test_pauses_are_drawn_anew() -> None:
    retries = Retries(attempts=100)
    assert len({retries.pause(4, 0, None) for _ in range(20)}) == 20
    assert len({retries.pause(4, 0, 2.0) for _ in range(20)}) == 20


def test_the_number_of_attempts_is_kept_to() -> None:
    assert NEVER.pause(1, 0, 0.0) is None
    assert Retries(attempts=3).pause(2, 0, None) is not None
    assert Retries(attempts=3).pause(3, 0, None) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"seconds": -1.0},
        {"first_pause": math.nan},
        {"longest_pause": math.inf},
    ],
)
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Retries(**wrong)  # type: ignore[arg-type]
