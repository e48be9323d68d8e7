"""Histograms: what prometheus-client's own say of the same observations."""

import threading

import numpy as np
import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from service.telemetry.histogram import _MOST_KEPT, Histogram, Tally

BUCKETS = (0.0005, 0.5, 1, 10)


def test_the_exposition_is_that_of_prometheus_client() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    one = Histogram("a_b", "Its help.", buckets=BUCKETS, registry=ours)
    other = prometheus_client.Histogram("a_b", "Its help.", buckets=BUCKETS, registry=theirs)
    assert generate_latest(ours) == generate_latest(theirs)
    for value in (0.0005, 0.25, 0.5, 1, 10, 16, 0):
        one.observe(value)
        other.observe(value)
    assert generate_latest(ours) == generate_latest(theirs)
    one.observe(3)
    other.observe(3)
    assert generate_latest(ours) == generate_latest(theirs)


def test_every_value_of_a_label_has_a_series_from_the_start() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    one = Histogram("a", "Its help.", buckets=BUCKETS, registry=ours, label="of", values=("x", "y"))
    other = prometheus_client.Histogram("a", "Its help.", ["of"], buckets=BUCKETS, registry=theirs)
    for value in ("x", "y"):
        other.labels(value)
    one.tallies["y"].observe(2)
    other.labels("y").observe(2)
    assert generate_latest(ours) == generate_latest(theirs)


def test_a_name_is_registered_once() -> None:
    registry = CollectorRegistry()
    Histogram("a", "Its help.", buckets=BUCKETS, registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Histogram("a", "Its help.", buckets=BUCKETS, registry=registry)


def test_observations_are_not_kept_for_long() -> None:
    tally = Tally(BUCKETS)
    for _ in range(3 * _MOST_KEPT + 5):
        tally.observe(0.5)
    assert len(tally._new) == 5
    assert tally.read() == ([0, *[3 * _MOST_KEPT + 5] * 4], (3 * _MOST_KEPT + 5) / 2)


def test_no_observation_of_any_thread_is_lost() -> None:
    tally, each = Tally(BUCKETS), 20_000
    reads: list[int] = []

    def observe() -> None:
        for value in np.linspace(0, 20, each).tolist():
            tally.observe(value)

    def read() -> None:
        while any(thread.is_alive() for thread in threads):
            reads.append(tally.read()[0][-1])

    threads = [threading.Thread(target=observe) for _ in range(3)]
    reader = threading.Thread(target=read)
    for thread in (*threads, reader):
        thread.start()
    for thread in (*threads, reader):
        thread.join()
    counts, total = tally.read()
    assert counts[-1] == 3 * each
    assert total == pytest.approx(3 * each * 10)
    assert reads == sorted(reads)
