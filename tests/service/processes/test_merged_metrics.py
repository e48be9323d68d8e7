"""Metrics of several processes as those of one."""

import json
from functools import partial

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from service.processes.merged_metrics import Families, counts_of, exposition, families_of, merged
from service.telemetry.metrics import Metrics
from tests.support.service import samples


def kept(metrics: Metrics) -> Families:
    """Return the metrics as they come out of a message."""
    found: Families = json.loads(json.dumps(families_of(metrics.registry)))
    return found


def test_counts_are_added_up_and_gauges_by_their_meaning() -> None:
    parts = []
    for number in (1, 2):
        metrics = Metrics()
        metrics.unguarded.labels("a").inc(number)
        metrics.unguarded.labels(f"only-{number}").inc()
        metrics.mutants_evaluated.observe(number)
        metrics.watch(partial(int, number), int)
        metrics.redis_up().set(number - 1)
        metrics.store_mutants.labels("a").set(60)
        metrics.api_keys(partial(float, 7 * number))
        parts.append(kept(metrics))
    found = samples(exposition(merged(parts)).decode())
    assert found["guard_unguarded_total", frozenset({("store", "a")})] == 3
    assert found["guard_unguarded_total", frozenset({("store", "only-2")})] == 1
    assert found["guard_mutants_evaluated_count", frozenset()] == 2
    assert found["guard_mutants_evaluated_sum", frozenset()] == 3
    assert found["guard_mutants_evaluated_bucket", frozenset({("le", "1.0")})] == 1
    assert found["guard_mutants_evaluated_bucket", frozenset({("le", "+Inf")})] == 2
    assert found["guard_requests_in_flight", frozenset()] == 3
    assert found["guard_redis_up", frozenset()] == 0
    assert found["guard_store_mutants", frozenset({("store", "a")})] == 60
    assert found["guard_api_keys_stale_seconds", frozenset()] == 14


def test_one_process_alone_says_what_it_said_before() -> None:
    metrics = Metrics()
    metrics.verdicts.labels("a", "normal", "false").inc()
    assert exposition(merged([kept(metrics)])) == generate_latest(metrics.registry)


def test_only_counts_outlive_their_process() -> None:
    registry = CollectorRegistry()
    Gauge("now", "Something of now.", registry=registry).set(1)
    metrics = Metrics()
    assert counts_of(families_of(registry)) == []
    kinds = {family[2] for family in counts_of(families_of(metrics.registry))}
    assert kinds == {"counter", "histogram"}
