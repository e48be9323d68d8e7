"""Oracle of an attack by queries: it counts, rounds as a client has to, and notes success."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.queries.services.response import Pixels, Query, Response, Service

Norm = Literal["linf", "l2"]
Reason = Literal["evaded", "budget", "refused", "gave up"]
Images = NDArray[np.floating[Any]]
"""Images as attacks see them: [N, H, W, C], pixels from 0 to 1, not rounded."""

LEVELS = 255
_LEAST, _SLACK = 1e-16, 1e-6
RIGHT = 1.0
"""Cost from which a query was answered with the right label; the confidence in it comes on top."""


class CampaignOverError(Exception):
    """End of an attack: nothing is left to ask, or nothing more to be asked.

    Attributes:
        reason: cause of the end.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Limit:
    """Largest change that counts.

    Attributes:
        norm: measure of it.
        size: largest change of a pixel, or length, pixels from 0 to 1.
    """

    norm: Norm
    size: float

    def distances(self, images: Pixels, source: Pixels) -> NDArray[np.float64]:
        """Return the changes of images uint8 [N, H, W, C], pixels from 0 to 1: float64 [N]."""
        change = (images.astype(np.float64) - source).reshape(len(images), -1) / LEVELS
        return np.asarray(
            np.abs(change).max(axis=1) if self.norm == "linf" else np.linalg.norm(change, axis=1)
        )

    def holds(self, images: Pixels, source: Pixels) -> NDArray[np.bool_]:
        """Return which images are near enough, bool [N]."""
        return np.asarray(self.distances(images, source) <= self.size + _SLACK)

    @property
    def whole(self) -> float:
        """The size in whole grey levels, of pixels from 0 to 1."""
        return math.floor((self.size + _SLACK) * LEVELS) / LEVELS


@dataclass(frozen=True)
class Rules:
    """Rules of a campaign.

    Attributes:
        budget: most queries.
        patience: refusals in a row after which the attacker takes them as final.
        accounts: number of accounts or addresses that take turns; 0 for a new one each query.
        pause: seconds between two queries, by a clock that nobody waits for.
        heeds_verdict: whether the attacker counts an alarm as not fooled; otherwise it only looks
            at labels.
    """

    budget: int
    patience: int
    accounts: int = 1
    pause: float = 0.0
    heeds_verdict: bool = True


@dataclass(frozen=True, eq=False)
class Replies:
    """What an attack makes of answers.

    Attributes:
        fooled: bool [N], whether a wrong label was answered (and, where the attacker heeds the
            verdict, no alarm).
        costs: float64 [N], what score-based attacks lower: 1 and a measure of the confidence in the
            right label (2 where scores are withheld or the query was refused), the doubt of a wrong
            label under alarm (1 where it is not told), minus the confidence of a wrong one without.
        collided: bool [N], whether the attacker can tell that earlier queries are related.
        refused: bool [N], whether there was no answer but a refusal.
    """

    fooled: NDArray[np.bool_]
    costs: NDArray[np.float64]
    collided: NDArray[np.bool_]
    refused: NDArray[np.bool_]


@dataclass
class Record:
    """Record of a campaign; numbers of queries count from 1, and −1 stands for never.

    Attributes:
        queries: number of queries sent.
        seen: first query of which the service finds that it belongs to a campaign.
        evaded: first query near enough whose wrong label is the classifier's own and was answered,
            without an alarm.
        misled: first query near enough that was answered with a wrong label without an alarm
            though the classifier labels it rightly: what the policy itself did.
        refusals: number of refused queries.
        distance: change of the image that evaded; NaN without.
    """

    queries: int = 0
    seen: int = -1
    evaded: int = -1
    misled: int = -1
    refusals: int = 0
    distance: float = float("nan")


class Oracle:
    """Oracle of one campaign.

    Attributes:
        record: what happened so far.
    """

    def __init__(self, service: Service, source: Pixels, label: int, limit: Limit, rules: Rules) -> None:
        """Begin a campaign; the service forgets those before.

        Args:
            service: the service that is asked.
            source: uint8 [H, W, C], the image under attack.
            label: its true label.
            limit: largest change that counts.
            rules: rules of the campaign.
        """
        self._service, self._source, self._label, self._limit, self._rules = (
            service,
            source,
            label,
            limit,
            rules,
        )
        self._in_a_row = 0
        self.record = Record()
        service.forget()

    def ask(self, images: Images) -> Replies:
        """Ask about images [N, H, W, C], pixels from 0 to 1, rounded to 8 bits as they are sent.

        Raises:
            CampaignOverError: an image evaded, the budget is spent, or the service refuses for good.
        """
        pixels = np.rint(np.clip(images, 0, 1) * LEVELS).astype(np.uint8)
        left = self._rules.budget - self.record.queries
        part = pixels[:left]
        if left <= 0:
            raise CampaignOverError("budget")
        near = self._limit.holds(part, self._source)
        answers = self._service.ask(part, self._circumstances(len(part)))
        for place, answer in enumerate(answers):
            self._note(answer, part[place], bool(near[place]))
        if len(part) < len(pixels):
            raise CampaignOverError("budget")
        return self._replies(answers)

    def _circumstances(self, count: int) -> list[Query]:
        sent = range(self.record.queries, self.record.queries + count)
        accounts = self._rules.accounts
        return [Query(f"account-{n % accounts if accounts else n}", n * self._rules.pause) for n in sent]

    def _note(self, answer: Response, pixels: Pixels, near: bool) -> None:
        record = self.record
        record.queries += 1
        if record.seen < 0 and answer.seen:
            record.seen = record.queries
        if answer.refused:
            record.refusals += 1
            self._in_a_row += 1
            if self._in_a_row >= self._rules.patience:
                raise CampaignOverError("refused")
            return
        self._in_a_row = 0
        if not near or answer.alarm or answer.label == self._label:
            return
        if answer.own_label == self._label:
            record.misled = record.queries if record.misled < 0 else record.misled
            return
        record.evaded = record.queries
        record.distance = float(self._limit.distances(pixels[None], self._source)[0])
        raise CampaignOverError("evaded")

    def _replies(self, answers: Sequence[Response]) -> Replies:
        told = [self._told(answer) for answer in answers]
        return Replies(
            np.array([fooled for fooled, _ in told]),
            np.array([cost for _, cost in told]),
            np.array([answer.probing or answer.related > 0 for answer in answers]),
            np.array([answer.refused for answer in answers]),
        )

    def _told(self, answer: Response) -> tuple[bool, float]:
        confidence = 1.0 if answer.confidence is None else answer.confidence
        if answer.label is None or answer.label == self._label:
            return False, RIGHT + (1.0 if answer.label is None else _resolved(confidence))
        if answer.alarm and self._rules.heeds_verdict:
            return False, 1.0 if answer.doubt is None else answer.doubt
        return True, -confidence


def _resolved(confidence: float) -> float:
    """Return a measure of confidence from 0 to 1 that still tells 0.9999 from 0.99999."""
    surprise = -math.log(max(1 - confidence, _LEAST))
    return surprise / (1 + surprise) if confidence < 1 else 1.0
