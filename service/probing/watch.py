"""Watch over what is asked for: recognises campaigns, reports them, and does what the policy says."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary, WeakSet

from mutant_guard.runtime.answer import Answer, Timings
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.runtime.model import Model
from mutant_guard.runtime.order import OrderKey
from mutant_guard.runtime.prepared import Prepared
from mutant_guard.wire.verdict import Verdict
from service.probing.campaign import log_campaign
from service.probing.errors import ProbingError
from service.probing.fingerprint import Fingerprint
from service.probing.memory import QueryMemory, Seen
from service.probing.policy import QueryPolicy
from service.probing.queries import OwnQueries, Queries
from service.probing.query import Query
from service.probing.sequence import UNKNOWN, Sequence, Thresholds
from service.redis.link import RedisLink
from service.redis.queries import SharedQueries
from service.review.recorder import Recorder
from service.settings import Settings
from service.telemetry.query_metrics import QueryMetrics


@dataclass
class _Watched:
    """Memory of one version of a store.

    Attributes:
        key: secret that the fingerprints are made with.
        fingerprint: fingerprints of images of the classifier's size.
        queries: queries that were asked.
    """

    key: bytes
    fingerprint: Fingerprint
    queries: Queries


class QueryWatch:
    """Memory of the queries to all stores, and what follows from it.

    Each version of a store has a memory of its own, since answers of different versions need not
    agree. It belongs to the thread of the event loop.
    """

    def __init__(
        self,
        settings: Settings,
        key: OrderKey,
        metrics: QueryMetrics,
        reviews: Recorder | None,
        link: RedisLink | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch with empty memories.

        Args:
            settings: settings of the server.
            key: secret from which that of the fingerprints is made.
            metrics: metrics to count in.
            reviews: recorder of what a person should look at; None where the queue is off.
            link: link to Redis, through which replicas share what they remember; None without one.
            clock: function that returns seconds which only go forward.
        """
        self._settings, self._key, self._metrics, self._reviews = settings, key, metrics, reviews
        self._link, self._shared, self._clock = link, WeakSet[SharedQueries](), clock
        self._watched: WeakKeyDictionary[Model, _Watched] = WeakKeyDictionary()

    @property
    def policy(self) -> QueryPolicy:
        """Policy for queries that are part of a campaign."""
        return self._settings.query_memory

    def begin(self, model: Model) -> None:
        """Make the memory of a version of a store, which else is made with its first query."""
        self._of(model)

    async def send(self) -> None:
        """Send to Redis what no query took along.

        Raises:
            RedisDownError: Redis is down.
        """
        for shared in list(self._shared):
            await shared.send()

    def asked(
        self, query: Query, prepared: Prepared, model: Model
    ) -> Answer | Awaitable[Answer | None] | None:
        """Remember a query before it is judged.

        The first query that is found to be part of a campaign is judged, whatever the policy: the
        review queue is to show it.

        Args:
            query: the query, in which is noted what is known of it.
            prepared: its image.
            model: version of the store that is to judge it.

        Returns:
            Answer in place of the guard's; None where the guard is to judge. With Redis, it is to be
            awaited.

        Raises:
            ProbingError: the policy refuses it.
        """
        watched = self._of(model)
        print_ = watched.fingerprint.of(prepared.pixels)
        digest = bytes.fromhex(prepared.key)
        seen = watched.queries.seen(print_, digest, query.caller, query.request_id)
        if isinstance(seen, Seen):
            return self._known(query, prepared, model, watched, seen)
        return self._awaited(query, prepared, model, watched, seen)

    async def _awaited(
        self, query: Query, prepared: Prepared, model: Model, watched: _Watched, seen: Awaitable[Seen]
    ) -> Answer | None:
        return self._known(query, prepared, model, watched, await seen)

    def _known(
        self, query: Query, prepared: Prepared, model: Model, watched: _Watched, seen: Seen
    ) -> Answer | None:
        """Return the answer to a query of which it is known what was asked before; see ``asked``."""
        query.seen, sequence = seen, seen.sequence
        probing = sequence.probing
        self._metrics.asked(model.name, sequence.related, probing=probing)
        if not probing or not sequence.told:
            return None
        self._report(query, watched, model)
        if self.policy is QueryPolicy.REFUSE:
            raise ProbingError(self._settings.query_seconds)
        if self.policy is QueryPolicy.FLAT and sequence.first_label != UNKNOWN:
            query.settled = True
            return Answer(
                model=model,
                judgement=_flat(sequence, model),
                adversarial=sequence.first_alarm and query.guarded,
                guarded=query.guarded,
                cached=True,
                timings=Timings(prepared.seconds),
                body_sha256=prepared.body_sha256,
                pixels_key=prepared.key,
                pixels=prepared.pixels,
            )
        return None

    def answered(self, query: Query, answer: Answer) -> Answer:
        """Remember the answer to a query.

        Args:
            query: the query.
            answer: what the guard answers.

        Returns:
            Answer that the caller is given.

        Raises:
            ProbingError: the policy refuses the query, as its answer completes a campaign.
        """
        seen = query.seen
        if seen is None or query.settled:
            return answer
        model, sequence = answer.model, seen.sequence
        watched = self._of(model)
        suspect = answer.guarded and answer.verdict != Verdict.NORMAL
        watched.queries.answered(seen, answer.label, suspect, answer.confidence)
        if not sequence.probing:
            return answer
        if not sequence.told and answer.guarded and self._reviews is not None:
            self._reviews.note(answer, query.request_id, probing=True)
        self._report(query, watched, model)
        if self.policy is QueryPolicy.REFUSE:
            raise ProbingError(self._settings.query_seconds)
        if self.policy is not QueryPolicy.FLAT:
            return answer
        query.settled = True
        alarm = sequence.first_alarm and query.guarded
        return replace(answer, judgement=_flat(sequence, model), adversarial=alarm, cached=True)

    def _of(self, model: Model) -> _Watched:
        """Return the memory of a version of a store; it goes on under another key."""
        watched, key = self._watched.get(model), self._key.value
        if watched is not None and watched.key is key:
            return watched
        spec = model.store.manifest.input
        fingerprint = Fingerprint(key, spec.height, spec.width, spec.channels)
        if watched is not None:
            watched.key, watched.fingerprint = key, fingerprint
            return watched
        watched = self._watched[model] = _Watched(key, fingerprint, self._remembered(model, fingerprint))
        queries = watched.queries
        self._metrics.watch(model.name, lambda: queries.entries)
        return watched

    def _remembered(self, model: Model, fingerprint: Fingerprint) -> Queries:
        """Return an empty memory of this process, or the one of all replicas."""
        settings = self._settings
        thresholds = Thresholds(settled=settings.query_frames)
        entries, seconds, radius = settings.query_entries, settings.query_seconds, fingerprint.radius
        own = OwnQueries(QueryMemory(entries, seconds, radius=radius, thresholds=thresholds), self._clock)
        if self._link is None:
            return own
        shared = SharedQueries(
            self._link,
            own,
            name=f"{model.name}:{model.version}",
            entries=entries,
            seconds=seconds,
            radius=radius,
            thresholds=thresholds,
        )
        self._shared.add(shared)
        return shared

    def _report(self, query: Query, watched: _Watched, model: Model) -> None:
        """Report a campaign when it is found, and whenever it has twice as many queries as before."""
        seen = query.seen
        if seen is None or (0 < seen.sequence.told and seen.sequence.related < 2 * seen.sequence.told):
            return
        if not seen.sequence.told:
            self._metrics.campaigns.labels(model.name).inc()
        watched.queries.told(seen)
        log_campaign(
            seen.sequence,
            model,
            first_request=watched.queries.first_request(seen),
            first_at=watched.queries.first_at(seen),
            request_id=query.request_id,
            sender=query.sender,
        )


def _flat(sequence: Sequence, model: Model) -> Judgement:
    """Return the label and the verdict of the first query of a sequence, with nothing behind them."""
    label = sequence.first_label
    return Judgement(
        label=label,
        class_name=model.store.manifest.classes[label],
        confidence=0.0,
        raw_scores=b"",
        verdict=Verdict.ADVERSARIAL if sequence.first_alarm else Verdict.NORMAL,
        undecided_because=None,
        mutants=0,
        label_changes=0,
        labels=[],
        evidence=[],
        own_evidence=0,
        operators=[],
    )
