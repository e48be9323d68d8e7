"""Metrics of several processes as those of one server."""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

_ADDED = frozenset({"guard_requests_in_flight", "guard_queue_depth"})
"""Gauges that are added up."""
_LEAST = frozenset({"guard_redis_up"})
"""Gauges of which the least counts: Redis is up where all processes reach it.
Of every other gauge the largest counts. They describe what is served, alike in all processes, or
say how bad something is."""
_COUNTS = frozenset({"counter", "histogram"})

Families = list[Any]
"""Metrics as JSON: name, help, type, and samples of name, labels and value."""


def families_of(registry: CollectorRegistry) -> Families:
    """Return the metrics of a registry as they are now."""
    return [
        [one.name, one.documentation, one.type, [[it.name, it.labels, it.value] for it in one.samples]]
        for one in registry.collect()
    ]


def counts_of(families: Families) -> Families:
    """Return the counters and histograms alone, which outlive their process."""
    return [family for family in families if family[2] in _COUNTS]


def merged(parts: Iterable[Families]) -> Families:
    """Return the metrics of several processes as those of one.

    Counters and histograms are added up; for gauges see above.
    """
    found: dict[str, tuple[list[Any], dict[tuple[str, frozenset[tuple[str, str]]], float]]] = {}
    for part in parts:
        for family in part:
            name, _, kind, samples = family
            _, values = found.setdefault(name, (family, {}))
            for sample, labels, value in samples:
                at = (sample, frozenset(labels.items()))
                before = values.get(at)
                if before is None:
                    values[at] = value
                elif kind in _COUNTS or name in _ADDED:
                    values[at] = before + value
                else:
                    values[at] = min(before, value) if name in _LEAST else max(before, value)
    return [
        [*family[:3], [[sample, dict(labels), value] for (sample, labels), value in values.items()]]
        for family, values in found.values()
    ]


def exposition(families: Families) -> bytes:
    """Return metrics in Prometheus' text format."""
    return generate_latest(_Given(families))


class _Given(Collector):
    """Collector of metrics that are given."""

    def __init__(self, families: Families) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for name, documentation, kind, samples in self._families:
            metric = Metric(name, documentation, kind)
            metric.samples = [Sample(*sample) for sample in samples]
            yield metric
