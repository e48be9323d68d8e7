"""Histograms that are tallied when they are read."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_MOST_KEPT = 4096
"""Most observations that wait to be tallied."""


class Tally:
    """Observations of one series; every method may be called from any thread."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin with none.

        Args:
            bounds: upper bounds of the buckets, ascending; a further bucket takes what is above.
        """
        self._bounds = np.array(bounds)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        self._new: deque[float] = deque()
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Count an observation."""
        self._new.append(value)
        if len(self._new) >= _MOST_KEPT:
            self.read()

    def read(self) -> tuple[list[int], float]:
        """Return the number of observations in each bucket and below, and the sum of all."""
        with self._lock:
            new = [self._new.popleft() for _ in range(len(self._new))]
            buckets = np.searchsorted(self._bounds, new)
            self._counts += np.bincount(buckets, minlength=len(self._counts))
            self._sum += sum(new)
            return list(accumulate(self._counts.tolist())), self._sum


class Histogram(Collector):
    """Histogram whose observations cost next to nothing.

    That of prometheus-client takes two locks and compares with the bounds at every observation,
    several times for each request.

    Attributes:
        tallies: tally of each value of the label; that of the one series is under an empty text.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
        label: str | None = None,
        values: Sequence[str] = ("",),
    ) -> None:
        """Register a histogram.

        Args:
            name: name of the metric.
            documentation: help text of the metric.
            buckets: upper bounds of the buckets, ascending.
            registry: registry of the metric.
            label: name of its label; None for a single series.
            values: values of the label, which are all there from the start.
        """
        self._name, self._documentation = name, documentation
        self._labelnames = [] if label is None else [label]
        self._bounds = [*map(floatToGoString, buckets), "+Inf"]
        self.tallies = {value: Tally(buckets) for value in values}
        registry.register(self)

    def observe(self, value: float) -> None:
        """Count an observation of the single series."""
        self.tallies[""].observe(value)

    def describe(self) -> list[HistogramMetricFamily]:
        """Return the metric without its series."""
        return [HistogramMetricFamily(self._name, self._documentation, labels=self._labelnames)]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the metric as it is now."""
        (family,) = self.describe()
        for value, tally in self.tallies.items():
            counts, total = tally.read()
            named = list(zip(self._bounds, counts, strict=True))
            family.add_metric([value] if self._labelnames else [], named, sum_value=total)
        yield family
