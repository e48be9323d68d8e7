"""Prometheus metrics of the guard. Names and labels are an interface: dashboards and alerts read them."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from detection.policies import Policy
from mutant_store.reader import Store
from service.answer import Answer
from service.outcome import Outcome
from service.verdict import Verdict

_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """All metrics, on a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Args: the registry to use; by default a new one."""
        self.registry = registry or CollectorRegistry()
        self._described: set[tuple[str, str, str, str]] = set()
        where = self.registry
        self.verdicts = Counter(
            "guard_verdicts", "Answered requests by verdict.", ["store", "verdict", "cached"], registry=where
        )
        self.unguarded = Counter(
            "guard_unguarded",
            "Answers without a verdict, which the caller asked for.",
            ["store"],
            registry=where,
        )
        self.request_duration = Histogram(
            "guard_request_duration_seconds",
            "From the request's arrival to its answer.",
            buckets=_SECONDS,
            registry=where,
        )
        self.stage_duration = Histogram(
            "guard_stage_duration_seconds",
            "Time in a stage: decode, queue (until the first run), mutants (until the end of the test).",
            ["stage"],
            buckets=_SECONDS,
            registry=where,
        )
        self.mutants_evaluated = Histogram(
            "guard_mutants_evaluated",
            "Mutants a verdict consumed, cached verdicts left out.",
            buckets=_COUNTS,
            registry=where,
        )
        self.batch_rows = Histogram(
            "guard_batch_rows",
            "Rows (image, mutant) of one run of the bank.",
            buckets=_COUNTS,
            registry=where,
        )
        self.inference_seconds = Counter(
            "guard_inference_seconds",
            "Seconds the inference loops spent in runs of the bank.",
            registry=where,
        )
        self.requests_in_flight = Gauge(
            "guard_requests_in_flight", "Requests admitted and not answered.", registry=where
        )
        self.queue_depth = Gauge("guard_queue_depth", "Requests no run has held yet.", registry=where)
        self.requests_rejected = Counter(
            "guard_requests_rejected", "Requests refused, by reason.", ["reason"], registry=where
        )
        self.cache_requests = Counter(
            "guard_cache_requests", "Look-ups in the verdict cache.", ["result"], registry=where
        )
        self.store_info = Gauge(
            "guard_store_info",
            "The store that is served; always 1.",
            ["name", "version", "operator", "rate"],
            registry=where,
        )
        self.store_mutants = Gauge("guard_store_mutants", "Mutants in the store.", ["store"], registry=where)
        self.alarm_baseline_ratio = Gauge(
            "guard_alarm_baseline_ratio",
            "Share of clean images that raise an alarm, from calibration without a limit on mutants: under one the "
            "share is at most this, or at least this where undecided is an alarm.",
            ["store"],
            registry=where,
        )
        self.order_key_info = Gauge(
            "guard_order_key_info", "Which secret orders the mutants; always 1.", ["id"], registry=where
        )
        self.review_queued = Counter(
            "guard_review_queued", "Inputs put into the review queue, by why.", ["reason"], registry=where
        )
        for reason in ("alarm", "undecided", "sample"):
            self.review_queued.labels(reason)
        self.review_lost = Counter(
            "guard_review_lost",
            "Inputs that should have been queued for review and were not: too many at a time, or Redis down too long.",
            registry=where,
        )
        self._redis_up: Gauge | None = None
        self._order_key: str | None = None

    def redis_up(self) -> Gauge:
        """The gauge of Redis, which is there only where Redis is used."""
        if self._redis_up is None:
            self._redis_up = Gauge(
                "guard_redis_up", "Whether Redis answers, within its timeout.", registry=self.registry
            )
        return self._redis_up

    def order_key(self, identifier: str) -> None:
        """Say which order key is in use."""
        if identifier != self._order_key:
            self.order_key_info.clear()
            self.order_key_info.labels(identifier).set(1)
            self._order_key = identifier

    def watch(self, in_flight: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Read the load off the scheduler whenever the metrics are scraped."""
        self.requests_in_flight.set_function(in_flight)
        self.queue_depth.set_function(waiting)

    def describe(self, store: Store, policy: Policy, *, undecided: bool) -> None:
        """Say what a store is, in place of what was said of it before, and count its verdicts from zero.

        Args:
            store: the version that is served.
            policy: how it decides.
            undecided: whether an undecided verdict counts as an alarm.
        """
        manifest = store.manifest
        for labels in [labels for labels in self._described if labels[0] == manifest.name]:
            self._described.remove(labels)
            self.store_info.remove(*labels)
        labels = (manifest.name, store.version, manifest.operator, f"{manifest.rate:g}")
        self._described.add(labels)
        self.store_info.labels(*labels).set(1)
        self.store_mutants.labels(manifest.name).set(manifest.mutants)
        record = store.calibration.policies[policy.name]
        baseline = record.alarms_or_undecided if undecided else record.alarms
        self.alarm_baseline_ratio.labels(manifest.name).set(baseline.rate)
        for verdict in Verdict:
            for cached in ("false", "true"):
                self.verdicts.labels(manifest.name, verdict.value, cached)
        self.unguarded.labels(manifest.name)
        for result in ("hit", "miss"):
            self.cache_requests.labels(result)

    def answered(self, answer: Answer) -> None:
        """Count an answer."""
        if not answer.guarded:
            self.unguarded.labels(answer.model.name).inc()
            return
        verdict = answer.judgement.verdict.value
        self.verdicts.labels(answer.model.name, verdict, "true" if answer.cached else "false").inc()

    def observe(self, outcome: Outcome) -> None:
        """Where the time of a request went, and how many mutants it took."""
        self.stage_duration.labels("queue").observe(outcome.queue_seconds)
        self.stage_duration.labels("mutants").observe(outcome.run_seconds)
        self.mutants_evaluated.observe(outcome.mutants)
