"""The engine of the simulation does the runs that the real scheduler does."""

import numpy as np
import pytest
from simpy import Environment

from benchmarks.scale.model.cores import OwnCores
from benchmarks.scale.model.engine import Engine, RunLimits, RunTimes, Test, step
from benchmarks.scale.model.station import Station

TIMES = RunTimes(run=1.0, fresh=0.1, request=0.01, row=0.001)


def test_a_run_holds_what_every_request_needs_next() -> None:
    tests = [Test([3, 2, 1]), Test([3, 2, 1, 2, 1]), Test([])]
    seconds, ended = step(tests, TIMES, RunLimits(100, 1, 64, 9))
    assert seconds == pytest.approx(1 + 3 * 0.1 + 3 * 0.01 + 6 * 0.001)
    assert ended == [tests[0], tests[2]]
    seconds, ended = step([tests[1]], TIMES, RunLimits(100, 1, 64, 9))
    assert seconds == pytest.approx(1 + 0.01 + 2 * 0.001), "it is not fresh any more"
    assert ended == [tests[1]]


def test_a_run_is_filled_up_and_bounded() -> None:
    test = Test([2] * 9)
    assert step([test], TIMES, RunLimits(100, 8, 64, 20))[0] == pytest.approx(1.11 + 8 * 0.001)
    assert step([Test([2] * 9)], TIMES, RunLimits(4, 8, 64, 20))[0] == pytest.approx(1.11 + 4 * 0.001)
    assert step([Test([2] * 9)], TIMES, RunLimits(100, 8, 64, 3))[0] == pytest.approx(1.11 + 3 * 0.001)
    many = [Test([2] * 2) for _ in range(5)]
    _, ended = step(many, TIMES, RunLimits(6, 1, 64, 20))
    assert ended == many[:3], "the others wait, the first three fill the rows"
    _, ended = step(many[3:], TIMES, RunLimits(6, 1, 1, 20))
    assert ended == many[3:4]


def test_many_share_a_run_and_who_comes_meanwhile_joins_the_next() -> None:
    environment = Environment()
    cores = OwnCores(environment)
    engine = Engine(environment, cores, TIMES, RunLimits(100, 1, 64, 9), Station(environment, cores))
    ends: dict[str, float] = {}

    def ask(name: str, at: float) -> object:
        yield environment.timeout(at)
        yield engine.test([1])
        ends[name] = environment.now

    for name, at in (("a", 0.0), ("b", 0.0), ("c", 0.5), ("d", 0.6)):
        environment.process(ask(name, at))  # type: ignore[arg-type]
    environment.run()
    one = 1 + 2 * 0.1 + 2 * 0.01 + 2 * 0.001
    assert ends == pytest.approx({"a": one, "b": one, "c": 2 * one, "d": 2 * one})


def test_the_event_loop_has_its_turn_between_runs() -> None:
    """Runs take turns for as long as the pause before them; a request that waits comes in between."""
    environment = Environment()
    cores = OwnCores(environment)
    loop = Station(environment, cores)
    engine = Engine(environment, cores, RunTimes(1, 0, 0, 0), RunLimits(1, 1, 64, 9), loop)
    order: list[str] = []

    def ask() -> object:
        done = engine.test([1] * 4)
        other = environment.process(http())  # type: ignore[arg-type]
        yield done
        order.append("tested")
        yield other

    def http() -> object:
        yield loop.do(0.25)
        order.append("read")

    environment.process(ask())  # type: ignore[arg-type]
    environment.run()
    assert order == ["read", "tested"]
    assert environment.now == 4.25


def test_paths_are_walked_as_the_policy_walks_them() -> None:
    """Rows of a lone request: never less than it needs, and the last run ends where the test does."""
    path = [5, 4, 3, 2, 1, 3, 2, 1]
    test, rows = Test(path), []
    limits = RunLimits(512, 1, 64, 500)
    ended: list[Test] = []
    while not ended:
        seconds, ended = step([test], RunTimes(0, 0, 0, 1), limits)
        rows.append(round(seconds))
    assert rows == [5, 3]
    assert np.sum(rows) == len(path)
