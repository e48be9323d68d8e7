import pytest

from benchmarks.rounds import Measured, Spread, in_rounds, ratio


def test_contenders_take_turns_and_the_warm_up_does_not_count() -> None:
    calls: list[tuple[str, float]] = []

    def contender(name: str) -> object:
        def measure(seconds: float) -> Measured:
            calls.append((name, seconds))
            return Measured(len(calls))

        return measure

    found = in_rounds({n: contender(n) for n in "ab"}, 2, 3.0, warm_up=0.5, sleep=lambda _: None)  # type: ignore[misc]
    assert calls == [("a", 0.5), ("b", 0.5), ("a", 3.0), ("b", 3.0), ("a", 3.0), ("b", 3.0)]
    assert {name: [one.rate for one in rounds] for name, rounds in found.items()} == {
        "a": [3, 5],
        "b": [4, 6],
    }


def test_a_ratio_is_taken_within_each_round() -> None:
    """The second round is half as fast for both contenders, which leaves their ratio as it is."""
    found = ratio(Spread((200.0, 100.0, 220.0)), Spread((100.0, 50.0, 110.0)))
    assert found.values == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="zip"):
        ratio(Spread((1.0,)), Spread((1.0, 2.0)))


def test_a_spread_shows_median_least_and_most() -> None:
    assert Spread((1234.0, 1000.0, 3000.0)).shown() == "1,234 (1,000–3,000)"
    assert Spread((0.002, 0.001, 0.0015)).shown(1000) == "1.5 (1–2)"
