"""Sequences of queries that are near relatives, and when they are an attack in the making."""

from dataclasses import dataclass

from service.probing.clue import NOTHING, Clue

UNKNOWN = -1
"""Label of a query that is not answered yet."""

MOST_CALLERS = 16
MOST_ANSWERS = 8


@dataclass(frozen=True)
class Thresholds:
    """How many relatives are an attack, by what their answers tell.

    Nothing that is measured tells a search by dense noise, whose answers do not change yet, from
    frames of a still scene. The defaults let videos of some hundred frames pass.
    ``WITHOUT_VIDEO`` is for deployments that are sent single images and bursts.

    Attributes:
        unsettled: number of relatives from which an unsettled sequence is one that has any clue: a
            query that is edited, halves a step or is a sample around another.
        disagreeing: number of answers unlike the most common one, from which a sequence is
            unsettled; an answer is a label with or without an alarm.
        spread: difference of the largest and the smallest confidence in the most common answer,
            from which it is.
        edited: number of relatives with a part replaced from which any sequence is one.
        halvings: number of steps in a row, each half of the one before, from which a sequence is
            one whose answers differ.
        sampled: number of samples around another query from which any sequence is one.
        chance: number of relatives for which it takes one sample more: among hundreds of frames some
            lie so by chance.
        settled: number of relatives from which any sequence is one.
    """

    unsettled: int = 13
    disagreeing: int = 3
    spread: float = 0.5
    edited: int = 3
    halvings: int = 2
    sampled: int = 2
    chance: int = 150
    settled: int = 400


WITHOUT_VIDEO = Thresholds(settled=14)
"""Thresholds where a scene is sent in a dozen frames at most."""


class Sequence:
    """Distinct queries that are near relatives, or relatives of relatives.

    Attributes:
        number: number of the sequence, that of its first query.
        related: number of its queries but one: the relatives a query has in it.
        first_label: label of its first answer; ``UNKNOWN`` before.
        first_alarm: whether its first answer was an alarm.
        first: time of its first query, in the seconds of the memory's clock.
        last: time of its latest query.
        callers: number of its queries by caller, exact for those of the first 16 callers; the first
            query of all counts for nobody.
        edited: number of its queries that are another one with a part replaced, as nothing natural
            does it: all pixels outside are exactly the same.
        halvings: largest number of its steps in a row that each were half of the one before.
        sampled: number of its queries that are samples around another one of it.
        alarms: number of answers with an alarm.
        told: number of relatives when it was last reported; 0 before.
    """

    __slots__ = (
        "_answers",
        "_highest",
        "_lowest",
        "alarms",
        "callers",
        "edited",
        "first",
        "first_alarm",
        "first_label",
        "halvings",
        "last",
        "number",
        "related",
        "sampled",
        "thresholds",
        "told",
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
        self.first_alarm = False
        self.edited = self.halvings = self.sampled = self.alarms = self.told = 0
        self.callers: dict[str, int] = {}
        self.thresholds = thresholds
        self._answers: dict[tuple[int, bool], int] = {}
        self._lowest: dict[tuple[int, bool], float] = {}
        self._highest: dict[tuple[int, bool], float] = {}

    def join(self, caller: str, now: float, *, edited: bool = False, clue: Clue = NOTHING) -> None:
        """Count one more distinct query.

        Args:
            caller: who asked.
            now: time of the query.
            edited: whether it is another one with a part replaced.
            clue: what its place among the latest queries says.
        """
        self.related += 1
        self.edited += edited
        self.take(clue)
        self.last = now
        if caller in self.callers or len(self.callers) < MOST_CALLERS:
            self.callers[caller] = self.callers.get(caller, 0) + 1

    def take(self, clue: Clue) -> None:
        """Count what the place of a query among the latest ones says."""
        self.halvings = max(self.halvings, clue.halvings)
        self.sampled += clue.sampled

    def answered(self, label: int, alarm: bool, confidence: float) -> None:
        """Count the answer to one of the queries.

        Args:
            label: label that was answered.
            alarm: whether the verdict was an alarm.
            confidence: the classifier's confidence in the label, 0 to 1.
        """
        if self.first_label == UNKNOWN:
            self.first_label, self.first_alarm = label, alarm
        self.alarms += alarm
        answer = (label, alarm)
        if answer in self._answers or len(self._answers) < MOST_ANSWERS:
            self._answers[answer] = self._answers.get(answer, 0) + 1
            self._lowest[answer] = min(confidence, self._lowest.get(answer, 1.0))
            self._highest[answer] = max(confidence, self._highest.get(answer, 0.0))

    def restore(self, label: int, alarm: bool, count: int, lowest: float, highest: float) -> None:
        """Take in how often an answer was given, as another process counted it.

        Args:
            label: label that was answered.
            alarm: whether the verdict was an alarm.
            count: number of these answers.
            lowest: smallest confidence with which it was given.
            highest: largest confidence with which it was given.
        """
        answer = (label, alarm)
        self._answers[answer], self._lowest[answer], self._highest[answer] = count, lowest, highest

    @property
    def disagreeing(self) -> int:
        """Number of answers unlike the most common one."""
        counts = self._answers.values()
        return sum(counts) - max(counts, default=0)

    @property
    def spread(self) -> float:
        """Largest less smallest confidence in the most common answer."""
        if not self._answers:
            return 0.0
        common = max(self._answers, key=self._answers.__getitem__)
        return self._highest[common] - self._lowest[common]

    @property
    def unsettled(self) -> bool:
        """Whether its answers tell an asker something: they differ, or the confidence does."""
        return self._unsettled(self.thresholds)

    @property
    def probing(self) -> bool:
        """Whether it is an attack in the making, under the thresholds."""
        return self.reaches(self.thresholds)

    def reaches(self, thresholds: Thresholds) -> bool:
        """Check whether it would be an attack in the making under other thresholds."""
        return (
            self.related >= thresholds.settled
            or self.edited >= thresholds.edited
            or self.sampled >= thresholds.sampled + self.related // thresholds.chance
            or (self.halvings >= thresholds.halvings and self.disagreeing > 0)
            or (self._made and self.related >= thresholds.unsettled and self._unsettled(thresholds))
        )

    @property
    def _made(self) -> bool:
        """Whether there is any clue that its queries were made by a search."""
        return bool(self.edited or self.halvings or self.sampled)

    def _unsettled(self, thresholds: Thresholds) -> bool:
        return self.disagreeing >= thresholds.disagreeing or self.spread >= thresholds.spread
