"""What a load came to."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

_KEPT_UP = 0.1
"""Seconds by which one request in a hundred may leave late at most."""


@dataclass(frozen=True)
class Latencies:
    """Of so many requests, in seconds; zeros where there are none."""

    count: int
    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latencies":
        """From every single one."""
        if not len(seconds):
            return cls(0, 0.0, 0.0, 0.0)
        p50, p99 = np.quantile(seconds, (0.5, 0.99), method="inverted_cdf")
        return cls(len(seconds), float(p50), float(p99), float(np.max(seconds)))


_NONE = Latencies(0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Report:
    """Every request, by what became of it.

    Attributes:
        statuses: answers by status, those that came after the last request was sent included.
        latencies: by status. In an open loop from when a request was due, so that a server that stalls is charged for
            those that could not be sent meanwhile (no coordinated omission).
        throughput: answers 200 a second while requests were sent.
        lost: requests that were sent and not, or not wholly, answered.
        refused: connections that could not be opened.
        unsent: requests of an open loop that were due and never left.
        lag: how late requests of an open loop left.
        reasons: why requests were lost and connections refused, with how many.
        took: seconds from the start to the last answer.
        stopped_after: seconds until the watched path failed, None if it did not.
        waits: of answers 200, from when the request left: what the server alone took.
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

    @property
    def ok(self) -> int:
        """Answers 200."""
        return self.statuses.get(200, 0)

    @property
    def answered(self) -> int:
        """Answers of any status."""
        return sum(self.statuses.values())

    @property
    def kept_up(self) -> bool:
        """Whether an open loop offered what it should: all were sent, and about when they were due."""
        return not self.unsent and self.lag.p99 <= _KEPT_UP

    def json(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """What ``json`` wrote."""
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
