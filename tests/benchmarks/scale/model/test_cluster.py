"""Whole clusters: capacity, refusals, balance, Redis, and the same again."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.scale.model.cluster import MAX_IN_FLIGHT, Arrangement, Cluster, poisson
from benchmarks.scale.model.engine import RunLimits, RunTimes
from benchmarks.scale.service_times import RedisCalls, ServiceTimes, Work

NO = Work(0.0)
TIMES = ServiceTimes(
    name="made up",
    client=NO,
    proxy=NO,
    http=Work(0.8e-3),
    decode=0.0,
    hop=0.0,
    takes_turns=True,
    run=RunTimes(0.0, 0.2e-3, 0.0, 0.0),
    limits=RunLimits(512, 1, 64, 64),
    paths=[[1]],
)
ONE = Arrangement(proxy=False)


def test_a_replica_that_costs_a_millisecond_answers_a_thousand_a_second() -> None:
    found = Cluster(TIMES, ONE).closed(32, 2.0)
    assert len(found.latencies) / found.seconds == pytest.approx(1000, rel=0.02)
    assert found.busy == pytest.approx(1.0, abs=0.01)


def test_batches_share_what_a_run_costs() -> None:
    times = replace(TIMES, run=RunTimes(1e-3, 0.0, 0.0, 0.0))
    alone = Cluster(times, ONE).closed(1, 2.0)
    busy = Cluster(times, ONE).closed(32, 2.0)
    assert len(alone.latencies) == pytest.approx(2 / 1.8e-3, rel=0.01)
    assert len(busy.latencies) > 0.9 * 2 / (0.8e-3 + 1e-3 / 16)


def test_a_lone_request_takes_the_sum_of_its_way() -> None:
    times = replace(
        TIMES, client=Work(1.0, 0.5), proxy=Work(2.0, 0.25), http=Work(4.0, 0.125), decode=8.0, hop=0.0625
    )
    calls = RedisCalls(before=2, after=1, seconds=16.0, loop_seconds=32.0, round_trip=64.0)
    (took,) = Cluster(times, Arrangement(cores=2)).open([0.0]).latencies
    run, wakes = 0.2e-3, 2 * 0.5 + 2 * 0.25 + 2 * 0.125
    hops = 0.0625 * (2 + 2 + 2 + 1)  # client, proxy and event loop twice, the decoder once
    assert took == pytest.approx(1 + 2 + 4 + 8 + run + wakes + hops)
    (more,) = Cluster(times, Arrangement(cores=2, redis=calls)).open([0.0]).latencies
    wakes = 3 * (0.125 + 0.0625)  # the event loop sleeps meanwhile
    assert more - took == pytest.approx(3 * (16 + 32 + 64) + wakes, abs=0.2)


def test_a_full_replica_refuses() -> None:
    found = Cluster(TIMES, ONE).open([0.0] * (MAX_IN_FLIGHT + 40))
    assert len(found.latencies) == MAX_IN_FLIGHT
    assert found.refused == 40


def test_fewest_connections_beat_one_after_the_other_where_some_images_are_long() -> None:
    times = replace(TIMES, paths=[[1]] * 7 + [[1] * 40], run=RunTimes(0.0, 0.0, 0.0, 1e-3), takes_turns=False)
    arrivals = poisson(600, 2000, seed=0)
    p99 = {
        balance: np.quantile(
            Cluster(times, Arrangement(replicas=8, balance=balance)).open(arrivals).latencies, 0.99
        )
        for balance in ("roundrobin", "leastconn")
    }
    assert p99["leastconn"] < p99["roundrobin"]


def test_shared_cores_are_the_bottleneck_of_many_replicas() -> None:
    found = Cluster(TIMES, Arrangement(replicas=4, proxy=False, cores=2)).closed(64, 1.0)
    assert len(found.latencies) / found.seconds == pytest.approx(2000, rel=0.03)


def test_the_same_arrivals_give_the_same_latencies() -> None:
    first, second = (
        Cluster(TIMES, Arrangement(replicas=3, cores=2)).open(poisson(900, 500, seed=7)).latencies
        for _ in range(2)
    )
    assert first == second
    assert poisson(900, 500, seed=7) != poisson(900, 500, seed=8)


def test_arrivals_come_at_the_rate_alone_or_in_bursts() -> None:
    alone, bursts = poisson(100, 20_000, seed=0), poisson(100, 20_000, seed=0, burst=8)
    assert alone[-1] == pytest.approx(200, rel=0.02)
    assert bursts[-1] == pytest.approx(200, rel=0.05)
    assert len(set(bursts)) == 20_000 / 8


def test_what_comes_in_the_warm_up_does_not_count() -> None:
    assert len(Cluster(TIMES, ONE).open([0.0, 1.0, 2.0], warm_up=1.0).latencies) == 2
