"""State of a guard between requests: in Redis, shared by all replicas, or else in this server."""

from mutant_guard.runtime.answer import Answer
from mutant_guard.runtime.verdict_cache import MemoryCache, VerdictCache
from service.order_key import ServerOrderKey
from service.probing.policy import QueryPolicy
from service.probing.watch import QueryWatch
from service.processes.peers import Peers
from service.redis.cache import RedisCache
from service.redis.limit import Limits, OwnLimits, SharedLimits
from service.redis.link import RedisLink
from service.redis.order import SharedOrder
from service.review.memory import MemoryQueue
from service.review.queue import Capacity, ReviewQueue
from service.review.recorder import Recorder
from service.review.redis_queue import RedisQueue
from service.settings import Settings
from service.telemetry.alarm_history import AlarmHistory
from service.telemetry.metrics import Metrics
from service.telemetry.query_metrics import QueryMetrics

_CLOSE_SECONDS = 2.0


class State:
    """Verdicts, rates, the review queue and the order key.

    Attributes:
        key: secret that orders the mutants.
        cache: recent verdicts; None where they are not kept.
        limits: request rates of API keys.
        reviews: recorder of what waits for review; None where the queue is off.
        alarms: recent alarms, minute by minute.
        queries: watch over what is asked for; None where queries are not remembered.
    """

    def __init__(self, settings: Settings, metrics: Metrics, peers: Peers | None = None) -> None:
        """Set up the state from the settings, and wait half a second for Redis at most.

        Args:
            settings: settings of the server.
            metrics: metrics to count in.
            peers: the other processes of the server, None where there are none.
        """
        self._settings, self._metrics = settings, metrics
        self.key = ServerOrderKey(settings, None if peers is None else peers.order_key)
        self._order = SharedOrder(self.key, settings.redis_prefix)
        self._link: RedisLink | None = None
        self._queue: RedisQueue | None = None
        self.limits: Limits = OwnLimits() if peers is None else peers
        if settings.redis_url is not None:
            self._link = link = RedisLink(
                settings.redis_url.get_secret_value(),
                seconds=settings.redis_timeout_ms / 1000,
                up=metrics.redis_up(),
                refused=metrics.redis_refused(),
                prefix=settings.redis_prefix,
            )
            link.first(self._order.first)
            self.limits = SharedLimits(link, self.limits)
        self.cache = self._make_cache()
        self.alarms = AlarmHistory(self._link, peers)
        self.reviews = self._make_reviews()
        self.queries: QueryWatch | None = None
        if settings.query_memory is not QueryPolicy.OFF:
            self.queries = QueryWatch(settings, self.key, QueryMetrics(metrics), self.reviews, self._link)
        metrics.order_key(self.key.id)

    def start(self) -> None:
        """Start the upkeep of the state in the running event loop."""
        if self.reviews is not None:
            self.reviews.start()
        if self._link is not None:
            trim = () if self._queue is None else (self._queue.trim,)
            send = () if self.queries is None else (self.queries.send,)
            self._link.watch(self._order.look, self._tell_key, self.alarms.send, *trim, *send)

    async def close(self) -> None:
        """Record what still waits for review, and let go of Redis."""
        if self.reviews is not None:
            await self.reviews.close(_CLOSE_SECONDS)
        if self._link is not None:
            await self._link.close()

    def answered(self, answer: Answer, request_id: str, *, review: bool = True) -> None:
        """Remember a verdict that was given.

        Args:
            answer: the answer.
            request_id: id of its request.
            review: whether a person may be asked to look at it.
        """
        if not answer.cached:
            self.alarms.count(answer, alarm=answer.adversarial)
        if review and self.reviews is not None:
            self.reviews.note(answer, request_id)

    async def _tell_key(self) -> None:
        self._metrics.order_key(self.key.id)

    def _make_cache(self) -> VerdictCache | None:
        settings = self._settings
        if settings.cache_seconds == 0:
            return None
        if self._link is not None:
            return RedisCache(self._link, seconds=settings.cache_seconds)
        return MemoryCache(seconds=settings.cache_seconds, entries=settings.cache_entries)

    def _make_reviews(self) -> Recorder | None:
        settings = self._settings
        if settings.review_entries == 0:
            return None
        capacity = Capacity(
            settings.review_entries, settings.review_hours * 3600, settings.review_image_mb * 2**20
        )
        queue: ReviewQueue = MemoryQueue(capacity)
        if self._link is not None:
            queue = self._queue = RedisQueue(self._link, capacity)
        return Recorder(queue, self.key, settings, self._metrics)
