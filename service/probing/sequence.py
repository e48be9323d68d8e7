"""Sequences of queries that are near relatives, and when they are an attack in the making."""

from dataclasses import dataclass

UNKNOWN = -1
"""Label of a query that is not answered yet."""

_MOST_CALLERS = 16
_MOST_LABELS = 8


@dataclass(frozen=True)
class Thresholds:
    """How many relatives are an attack, by what their answers tell.

    Attributes:
        unsettled: number of relatives from which an unsettled sequence is one.
        disagreeing: number of answers unlike the most common one, from which a sequence is
            unsettled.
        alarms: number of alarms from which it is.
        spread: difference of the largest and the smallest confidence in the most common label, from
            which it is.
        settled: number of relatives from which any sequence is one.
    """

    unsettled: int = 8
    disagreeing: int = 2
    alarms: int = 2
    spread: float = 0.3
    settled: int = 1000


class Sequence:
    """Distinct queries that are near relatives, or relatives of relatives.

    Attributes:
        number: number of the sequence, that of its first query.
        related: number of its queries but one: the relatives a query has in it.
        first_label: label of its first answer; ``UNKNOWN`` before.
        first: time of its first query, in the seconds of the memory's clock.
        last: time of its latest query.
        callers: number of its queries by caller, exact for those of the first 16 callers; the first
            query of all counts for nobody.
        alarms: number of answers with an alarm.
    """

    __slots__ = (
        "_highest",
        "_labels",
        "_lowest",
        "alarms",
        "callers",
        "first",
        "first_label",
        "last",
        "number",
        "related",
        "thresholds",
    )

    def __init__(self, number: int, now: float, thresholds: Thresholds) -> None:
        """Begin a sequence of one query.

        Args:
            number: number of the query.
            now: time of the query.
            thresholds: what decides.
        """
        self.number, self.related, self.first_label = number, 0, UNKNOWN
        self.first = self.last = now
        self.alarms = 0
        self.callers: dict[str, int] = {}
        self.thresholds = thresholds
        self._labels: dict[int, int] = {}
        self._lowest: dict[int, float] = {}
        self._highest: dict[int, float] = {}

    def join(self, caller: str, now: float) -> None:
        """Count one more distinct query.

        Args:
            caller: who asked.
            now: time of the query.
        """
        self.related += 1
        self.last = now
        if caller in self.callers or len(self.callers) < _MOST_CALLERS:
            self.callers[caller] = self.callers.get(caller, 0) + 1

    def answered(self, label: int, alarm: bool, confidence: float) -> None:
        """Count the answer to one of the queries.

        Args:
            label: label that was answered.
            alarm: whether the verdict was an alarm.
            confidence: the classifier's confidence in the label, 0 to 1.
        """
        if self.first_label == UNKNOWN:
            self.first_label = label
        self.alarms += alarm
        if label in self._labels or len(self._labels) < _MOST_LABELS:
            self._labels[label] = self._labels.get(label, 0) + 1
            self._lowest[label] = min(confidence, self._lowest.get(label, 1.0))
            self._highest[label] = max(confidence, self._highest.get(label, 0.0))

    @property
    def disagreeing(self) -> int:
        """Number of answers unlike the most common one."""
        counts = self._labels.values()
        return sum(counts) - max(counts, default=0)

    @property
    def spread(self) -> float:
        """Largest less smallest confidence in the most common label."""
        if not self._labels:
            return 0.0
        common = max(self._labels, key=self._labels.__getitem__)
        return self._highest[common] - self._lowest[common]

    @property
    def unsettled(self) -> bool:
        """Whether its answers tell an asker something: labels differ, alarms, another confidence."""
        limits = self.thresholds
        return (
            self.disagreeing >= limits.disagreeing
            or self.alarms >= limits.alarms
            or self.spread >= limits.spread
        )

    @property
    def probing(self) -> bool:
        """Whether it is an attack in the making, under the thresholds."""
        limits = self.thresholds
        return self.related >= limits.settled or (self.related >= limits.unsettled and self.unsettled)
