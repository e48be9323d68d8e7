import pytest

from benchmarks.interleave import Timing, fastest, interleaved


class Machine:
    """Clock that only moves when something runs or rests, and the log of both."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.log.append("rest")

    def run(self, name: str, *seconds: float) -> None:
        turn = self.log.count(name)
        self.now += seconds[turn % len(seconds)]
        self.log.append(name)


def test_contenders_take_turns_and_rest_before_every_run() -> None:
    machine = Machine()
    interleaved(
        {"a": lambda: machine.run("a", 1), "b": lambda: machine.run("b", 1)},
        2,
        clock=machine.clock,
        sleep=machine.sleep,
    )
    assert machine.log == ["rest", "a", "rest", "b"] * 3


def test_only_runs_behind_the_warm_up_count_and_rests_never_do() -> None:
    machine = Machine()
    timings = interleaved(
        {"a": lambda: machine.run("a", 9, 1, 5, 3), "b": lambda: machine.run("b", 9, 9, 2, 2, 2)},
        3,
        pause=0.5,
        clock=machine.clock,
        sleep=machine.sleep,
    )
    assert timings["a"].seconds == (1, 5, 3)
    assert timings["a"].median == 3
    assert timings["b"].seconds == (9, 2, 2)
    assert timings["b"].median == 2


@pytest.mark.parametrize("warm_ups", [0, 2])
def test_warm_ups_are_as_many_as_asked_for(warm_ups: int) -> None:
    machine = Machine()
    timings = interleaved(
        {1: lambda: machine.run("a", 1)},
        4,
        warm_ups=warm_ups,
        clock=machine.clock,
        sleep=machine.sleep,
    )
    assert machine.log.count("a") == warm_ups + 4
    assert len(timings[1].seconds) == 4


def test_the_fastest_is_sought_among_one_kind() -> None:
    timings = {"bank": Timing((1,)), "eager 1": Timing((9, 3, 9)), "eager 2": Timing((4, 5, 4))}
    assert fastest(timings) == "bank"
    assert fastest(timings, "eager") == "eager 2"
