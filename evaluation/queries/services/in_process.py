"""Service in process: the guard's answers, then the server's own watch over queries."""

from collections.abc import Awaitable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.attacks.digest import digest
from evaluation.queries.services.judge import StoreJudge
from evaluation.queries.services.response import REFUSAL, Pixels, Query, Response, told_doubt
from evaluation.server import ORDER_KEY
from mutant_guard.runtime.answer import Answer
from mutant_guard.runtime.order import OrderKey
from mutant_guard.runtime.prepared import Prepared
from mutant_guard.store.manifest import InputSpec
from service.probing import query as watched
from service.probing.errors import ProbingError
from service.probing.fingerprint import Fingerprint
from service.probing.latest import LIMITS
from service.probing.policy import QueryPolicy
from service.probing.sequence import Thresholds
from service.probing.watch import QueryWatch
from service.settings import Settings
from service.telemetry.access_log import Sender
from service.telemetry.metrics import Metrics
from service.telemetry.query_metrics import QueryMetrics


class InProcess:
    """Service without a protocol: images of the classifier's size, and a clock that queries set."""

    def __init__(
        self, judge: StoreJudge, *, guarded: bool, scores: bool = True, settings: dict[str, Any] | None = None
    ) -> None:
        """Make the service; it has no queries.

        Args:
            judge: the guard.
            guarded: whether mutants are asked; otherwise answers are the bare label.
            scores: whether answers tell what callers of response detail ``full`` read.
            settings: settings of the server's memory of queries, by name.
        """
        self._judge, self._guarded, self._scores = judge, guarded, scores
        self._settings = Settings(store=(Path(judge.name),), **(settings or {}))
        self._now = 0.0
        self._watch: QueryWatch | None = None
        self.forget()

    def forget(self) -> None:
        """Begin with an empty memory."""
        if self._settings.query_memory is not QueryPolicy.OFF:
            key, metrics = OrderKey(ORDER_KEY.encode()), QueryMetrics(Metrics())
            self._watch = QueryWatch(self._settings, key, metrics, None, clock=lambda: self._now)

    def ask(self, images: Pixels, queries: Sequence[Query]) -> list[Response]:
        """Respond to images uint8 [N, H, W, C], one after the other."""
        return self._judge.run(self._responses(images, queries))

    async def _responses(self, images: Pixels, queries: Sequence[Query]) -> list[Response]:
        watch = self._watch
        if watch is None:
            answers = await self._judge.answers(images, guarded=self._guarded)
            return [
                self._told(one, one.label, self._query(two))
                for one, two in zip(answers, queries, strict=True)
            ]
        # As in the server, nobody is judged whose answer the watch has: guards are asked for some
        # queries ahead while all are answered, and of flat answers the bare label is looked up last.
        found: list[Response] = []
        judged: dict[int, Answer] = {}
        flat: dict[int, tuple[Answer, watched.Query]] = {}
        ahead = 1
        for place, (image, asked) in enumerate(zip(images, queries, strict=True)):
            query = self._query(asked)
            self._now = asked.seconds
            try:
                given = watch.asked(query, _prepared(image), self._judge.model)
                if isinstance(given, Awaitable):
                    given = await given
                if given is not None:
                    flat[place], ahead = (given, query), 1
                    found.append(REFUSAL)
                    continue
                if place not in judged:
                    rest = await self._judge.answers(images[place : place + ahead], guarded=self._guarded)
                    judged |= enumerate(rest, place)
                    ahead *= 2
                given = watch.answered(query, judged[place])
                found.append(self._told(given, judged[place].label, query))
            except ProbingError:
                ahead = 1
                found.append(REFUSAL)
        if flat:
            own = await self._judge.answers(images[list(flat)], guarded=False)
            for (place, (given, query)), answer in zip(flat.items(), own, strict=True):
                found[place] = self._told(given, answer.label, query)
        return found

    def _query(self, asked: Query) -> watched.Query:
        sender = Sender(asked.caller, None, None)
        return watched.Query(self._settings.query_memory, "", sender, guarded=self._guarded)

    def _told(self, given: Answer, own: int, query: watched.Query) -> Response:
        """Return what the caller reads of an answer, as the server's route tells it.

        Args:
            given: the answer.
            own: the classifier's own label.
            query: the query.
        """
        scores = self._scores and not query.withheld
        disclosed = scores and query.disclosed and self._guarded
        rate = given.label_changes / given.mutants if given.mutants else None
        return Response(
            given.label,
            own,
            confidence=given.confidence if scores else None,
            alarm=given.adversarial,
            doubt=told_doubt(given.doubt, rate) if scores else None,
            probing=query.probing if disclosed else self._scores and query.withheld,
            related=query.related if disclosed else 0,
            seen=query.probing,
        )


def remembered(spec: InputSpec) -> dict[str, Any]:
    """Return what the memory's answers depend on beside its settings, as JSON values.

    Args:
        spec: input of the classifier.
    """
    shape = (spec.height, spec.width, spec.channels)
    fingerprint = Fingerprint(ORDER_KEY.encode(), *shape)
    one = fingerprint.of(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    detail = b"" if one.detail is one.sketch else one.detail.tobytes()
    printed = digest(one.tokens.tobytes(), one.sketch.tobytes(), one.windows.tobytes() + detail)
    return {"print": printed, "radius": fingerprint.radius, "clues": list(LIMITS), **asdict(Thresholds())}


def _prepared(image: Pixels) -> Prepared:
    """Return an image as it is prepared, as far as the watch looks at it."""
    nothing, order = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)
    return Prepared(nothing, order, image, digest(image.tobytes()), "", 0.0)
