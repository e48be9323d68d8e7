"""Results of a load."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

_KEPT_UP = 0.1
"""Seconds by which one request in a hundred may leave late at most."""


@dataclass(frozen=True)
class Latencies:
    """Number of requests and quantiles of their latencies, in seconds; zeros without requests."""

    count: int
    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latencies":
        """Return the quantiles of all latencies, in seconds."""
        if not len(seconds):
            return cls(0, 0.0, 0.0, 0.0)
        p50, p99 = np.quantile(seconds, (0.5, 0.99), method="inverted_cdf")
        return cls(len(seconds), float(p50), float(p99), float(np.max(seconds)))


_NONE = Latencies(0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Report:
    """Every request, by its outcome.

    Attributes:
        statuses: number of answers by status, those that came after the last request was sent
            included.
        latencies: latencies by status; in an open loop from the time at which a request was due, so
            that a server that stalls is charged for those that could not be sent meanwhile (no
            coordinated omission).
        throughput: answers 200 a second while requests were sent.
        lost: number of requests that were sent and got no answer, or not a whole one.
        refused: number of connections that could not be opened.
        unsent: number of requests of an open loop that were due and never left.
        lag: delays with which requests of an open loop left.
        reasons: reasons why requests were lost and connections refused, with how many.
        took: seconds from the start to the last answer.
        stopped_after: seconds until the watched path failed, None if it did not.
        waits: latencies of answers 200, from the time at which the request left: the server's share
            alone.
        processor: seconds of processor time that the client took.
    """

    statuses: dict[int, int]
    latencies: dict[int, Latencies]
    throughput: float
    lost: int
    refused: int
    unsent: int
    lag: Latencies
    reasons: dict[str, int]
    took: float
    stopped_after: float | None
    waits: Latencies = _NONE
    processor: float = 0.0

    @property
    def ok(self) -> int:
        """Number of answers 200."""
        return self.statuses.get(200, 0)

    @property
    def answered(self) -> int:
        """Number of answers of any status."""
        return sum(self.statuses.values())

    @property
    def kept_up(self) -> bool:
        """Whether an open loop offered its load: all requests were sent, about when due."""
        return not self.unsent and self.lag.p99 <= _KEPT_UP

    def json(self) -> str:
        """Return the report as JSON for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Read the report that ``json`` wrote."""
        entry = json.loads(text)
        return cls(
            **entry
            | {
                "statuses": {int(status): count for status, count in entry["statuses"].items()},
                "latencies": {
                    int(status): Latencies(**found) for status, found in entry["latencies"].items()
                },
                "lag": Latencies(**entry["lag"]),
                "waits": Latencies(**entry["waits"]),
            }
        )
