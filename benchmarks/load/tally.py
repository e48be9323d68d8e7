"""Outcome of every request, while it is counted."""

from array import array
from collections import defaultdict

from benchmarks.load.report import Latencies, Report

_OK = 200


class Tally:
    """Counts of one load.

    Times are values of ``time.perf_counter()``: the clock of uvloop has milliseconds alone.
    """

    def __init__(self, start: float, seconds: float) -> None:
        """Begin to count.

        Args:
            start: time at which the load began.
            seconds: time during which requests are sent.
        """
        self._start, self._end = start, start + seconds
        self._latencies: defaultdict[int, array[float]] = defaultdict(lambda: array("d"))
        self._lags, self._waits = array("d"), array("d")
        self._within, self._last, self._answered_at = 0, 0.0, 0.0
        self._lost, self._refused = 0, 0
        self._reasons: defaultdict[str, int] = defaultdict(int)
        self.unsent = 0
        self.stopped_at: float | None = None

    def sent(self, lag: float) -> None:
        """Count a request that left this many seconds after it should have."""
        self._lags.append(lag)

    def answered(self, status: int, began: float, left: float, now: float) -> None:
        """Count an answer to a request that was due at ``began`` and left at ``left``."""
        self._latencies[status].append(now - began)
        if status == _OK:
            self._waits.append(now - left)
        self._answered_at = now
        if status == _OK and now <= self._end:
            self._within, self._last = self._within + 1, now

    def lost(self, reason: str, count: int = 1) -> None:
        """Count requests that were sent and not answered."""
        self._lost += count
        self._reasons[reason] += count

    def refused(self, reason: str) -> None:
        """Count a connection that could not be opened."""
        self._refused += 1
        self._reasons[reason] += 1

    def report(self) -> Report:
        """Return the report of all that was counted."""
        took = self._last - self._start
        return Report(
            statuses={status: len(found) for status, found in sorted(self._latencies.items())},
            latencies={status: Latencies.of(found) for status, found in sorted(self._latencies.items())},
            throughput=self._within / took if self._within else 0.0,
            lost=self._lost,
            refused=self._refused,
            unsent=self.unsent,
            lag=Latencies.of(self._lags),
            reasons=dict(self._reasons),
            took=max(0.0, self._answered_at - self._start),
            waits=Latencies.of(self._waits),
            stopped_after=None if self.stopped_at is None else self.stopped_at - self._start,
        )
