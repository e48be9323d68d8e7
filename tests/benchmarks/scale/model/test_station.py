"""Queues against what is known of them."""

import random
from collections.abc import Callable, Generator
from math import factorial

import pytest
from simpy import Environment, Event

from benchmarks.scale.model import cores as cores_module
from benchmarks.scale.model.cores import Cores, OwnCores, SharedCores
from benchmarks.scale.model.station import Station, Wake

COUNT = 30_000


def mean_wait(utilisation: float, draw: Callable[[random.Random], float], threads: int = 1) -> float:
    """Simulate jobs of mean length 1 that come at random; return the mean time in the queue."""
    environment, draws = Environment(), random.Random(1)  # noqa: S311
    station = Station(environment, OwnCores(environment), threads=threads)
    waits: list[float] = []

    def job(seconds: float) -> Generator[Event]:
        began = environment.now
        yield station.do(seconds)
        waits.append(environment.now - began - seconds)

    def arrive() -> Generator[Event]:
        for _ in range(COUNT):
            yield environment.timeout(draws.expovariate(utilisation * threads))
            environment.process(job(draw(draws)))

    environment.process(arrive())
    environment.run()
    assert len(waits) == COUNT
    assert station.busy / environment.now == pytest.approx(utilisation * threads, rel=0.02), (
        "the utilisation law"
    )
    return sum(waits) / COUNT


def exponential(draws: random.Random) -> float:
    return draws.expovariate(1)


def test_one_thread_waits_as_an_m_m_1_queue() -> None:
    assert mean_wait(0.5, exponential) == pytest.approx(0.5 / (1 - 0.5), rel=0.05)


def test_jobs_of_one_length_wait_half_as_long() -> None:
    assert mean_wait(0.7, lambda _: 1.0) == pytest.approx(0.7 / (2 * (1 - 0.7)), rel=0.05)


def test_several_threads_wait_as_erlang_says() -> None:
    threads, load = 3, 3 * 0.6
    waiting = load**threads / factorial(threads) / (1 - 0.6)
    share = waiting / (waiting + sum(load**n / factorial(n) for n in range(threads)))
    expected = share / (threads - load)
    assert mean_wait(0.6, exponential, threads) == pytest.approx(expected, rel=0.1)


def mean_time(count: int, draw: Callable[[random.Random], float]) -> float:
    """Simulate threads that work at random on shared cores, half of the time; return their mean time."""
    environment, draws = Environment(), random.Random(2)  # noqa: S311
    cores = SharedCores(environment, count)
    took: list[float] = []

    def job() -> Generator[Event]:
        began = environment.now
        yield cores.work(draw(draws))
        took.append(environment.now - began)

    def arrive() -> Generator[Event]:
        for _ in range(COUNT):
            yield environment.timeout(draws.expovariate(0.5 * count))
            environment.process(job())

    environment.process(arrive())
    environment.run()
    assert len(took) == COUNT
    return sum(took) / COUNT


def test_work_shorter_than_a_slice_is_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """One core is an M/D/1 queue then: the mean time is 1 + ρ ÷ 2(1 − ρ)."""
    monkeypatch.setattr(cores_module, "SLICE", 2.0)
    assert mean_time(1, lambda _: 1.0) == pytest.approx(1 + 0.5 / (2 * (1 - 0.5)), rel=0.03)
    assert mean_time(2, lambda _: 1.0) < 1 + 0.5 / (2 * (1 - 0.5)) - 0.1


@pytest.mark.parametrize("draw", [exponential, lambda _: 1.0])
def test_cores_with_short_slices_take_as_long_whatever_the_lengths_are_spread(
    draw: Callable[[random.Random], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an M/G/1 queue with processor sharing the mean time is 1 ÷ (1 − ρ) for every distribution."""
    monkeypatch.setattr(cores_module, "SLICE", 0.05)
    assert mean_time(1, draw) == pytest.approx(1 / (1 - 0.5), rel=0.06)


def ends(cores: Cores, environment: Environment, lengths: list[float]) -> list[float]:
    found: list[float] = []
    for seconds in lengths:
        done = cores.work(seconds)
        assert done.callbacks is not None
        done.callbacks.append(lambda _: found.append(environment.now))
    environment.run()
    return found


def test_two_cores_are_shared_by_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores_module, "SLICE", 1.5)
    environment = Environment()
    # The third waits behind the first until 1. The second's slice is over at 1.5, its rest at 2. The
    # third's is over at 2.5 and 4.
    assert ends(SharedCores(environment, 2), environment, [1, 2, 3]) == pytest.approx([1, 2, 4])
    own = Environment()
    assert ends(OwnCores(own), own, [1, 2, 3]) == [1, 2, 3]


def test_a_thread_that_sleeps_wakes_first_and_one_at_work_does_not() -> None:
    environment = Environment()
    station = Station(environment, OwnCores(environment), wake=Wake(work=0.5, delay=0.25))
    found: list[float] = []

    def steps() -> Generator[Event]:
        yield environment.timeout(2)

    def twice() -> Generator[Event]:
        first, second = station.do(1.0), station.do(steps)
        yield first
        found.append(environment.now)
        yield second
        found.append(environment.now)
        yield environment.timeout(10)
        yield station.do(1.0)
        found.append(environment.now)

    environment.process(twice())
    environment.run()
    assert found == [1.75, 3.75, 15.5]
