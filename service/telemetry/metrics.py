"""Prometheus metrics of the guard. Dashboards and alerts depend on their names and labels."""

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.runtime.answer import Answer
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.store.reader import Store
from mutant_guard.wire.verdict import Verdict
from service.telemetry.histogram import Histogram

# A time beside every series, which nothing asks for, would double them.
disable_created_metrics()  # type: ignore[no-untyped-call]

_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_MOST_CLASSES = 1000
"""Most classes of a store that are counted one by one.
Each class is two series, and a scrape of 1,000 classes takes some 20 ms."""
_ANY_CLASS = "(any)"
_WHOSE = ("original", "mutant")


@dataclass(frozen=True)
class _Counted:
    """Counters of one store, kept because looking them up costs more than counting.

    Attributes:
        verdicts: counters by verdict and whether it came from the cache.
        labels: counters by class name and whether the verdict was an alarm.
    """

    verdicts: dict[tuple[Verdict, bool], Counter]
    labels: dict[tuple[str, bool], Counter]


class Metrics:
    """Metrics of the guard, on a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Register every metric but those of Redis and of a file of API keys.

        Args:
            registry: registry to use; by default a new one.
        """
        self.registry = registry or CollectorRegistry()
        self._described: set[tuple[str, str, str, str]] = set()
        self._counted: dict[str, _Counted] = {}
        where = self.registry
        self.verdicts = Counter(
            "guard_verdicts", "Answered requests by verdict.", ["store", "verdict", "cached"], registry=where
        )
        self.labels = Counter(
            "guard_labels",
            "Tested inputs by the class they were given and whether they raised an alarm, cached verdicts left out; "
            f"class_name is {_ANY_CLASS} in a store of more than {_MOST_CLASSES} classes.",
            ["store", "class_name", "alarm"],
            registry=where,
        )
        self.unguarded = Counter(
            "guard_unguarded",
            "Answers without a verdict, which the caller asked for.",
            ["store"],
            registry=where,
        )
        self.not_finite = Counter(
            "guard_not_finite",
            "Images for which the original or a mutant gave scores that are NaN or infinite, cached verdicts left out.",
            ["store", "scores_of"],
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
            label="stage",
            values=("decode", "queue", "mutants"),
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
        self.run_failures = Counter(
            "guard_run_failures",
            "Runs of a bank that failed, and the requests in them; several in a row end the server.",
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
        self.undecided_baseline_ratio = Gauge(
            "guard_undecided_baseline_ratio",
            "Share of clean images that stay undecided, from calibration; absent under a limit on mutants "
            "(GUARD_MAX_MUTANTS), of which calibration knows nothing.",
            ["store"],
            registry=where,
        )
        self.calibration_images = Gauge(
            "guard_calibration_images",
            "Clean images behind the baselines; absent where undecided is an alarm and mutants are limited: the "
            "baseline of alarms is a lower bound then and no estimate.",
            ["store"],
            registry=where,
        )
        self.order_key_info = Gauge(
            "guard_order_key_info", "Which secret orders the mutants; always 1.", ["id"], registry=where
        )
        self.review_queued = Counter(
            "guard_review_queued",
            "Inputs put into the review queue, each once, by why.",
            ["reason"],
            registry=where,
        )
        for reason in ("alarm", "undecided", "sample"):
            self.review_queued.labels(reason)
        self.review_lost = Counter(
            "guard_review_lost",
            "Inputs that should have been queued for review and were not: too many at a time, or Redis down too long.",
            registry=where,
        )
        # Looking up a child takes longer than counting in it.
        self.stages = self.stage_duration.tallies
        self.cache_hits, self.cache_misses = map(self.cache_requests.labels, ("hit", "miss"))
        self._redis_up: Gauge | None = None
        self._redis_refused: Counter | None = None
        self._api_keys: Gauge | None = None
        self._order_key: str | None = None

    def redis_up(self) -> Gauge:
        """Return the gauge that tells whether Redis answers; it exists only where Redis is used."""
        if self._redis_up is None:
            self._redis_up = Gauge(
                "guard_redis_up", "Whether Redis answers, within its timeout.", registry=self.registry
            )
        return self._redis_up

    def redis_refused(self) -> Counter:
        """Return the counter of refused calls; it exists only where Redis is used."""
        if self._redis_refused is None:
            self._redis_refused = Counter(
                "guard_redis_refused",
                "Calls that Redis answered with an error of their own, such as a key of another type.",
                registry=self.registry,
            )
        return self._redis_refused

    def api_keys(self, stale_seconds: Callable[[], float]) -> None:
        """Read how stale the API keys are whenever the metrics are scraped.

        Args:
            stale_seconds: returns the seconds since their file could last be read, 0 where it can.
        """
        self._api_keys = Gauge(
            "guard_api_keys_stale_seconds",
            "Seconds for which the file of API keys could not be read, 0 while it can; absent where there is none.",
            registry=self.registry,
        )
        self._api_keys.set_function(stale_seconds)

    def order_key(self, identifier: str) -> None:
        """Set the id of the order key in use."""
        if identifier != self._order_key:
            self.order_key_info.clear()
            self.order_key_info.labels(identifier).set(1)
            self._order_key = identifier

    def watch(self, in_flight: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Read the load from the scheduler whenever the metrics are scraped.

        Args:
            in_flight: returns the number of requests admitted and not answered.
            waiting: returns the number of requests that no run has held yet.
        """
        self.requests_in_flight.set_function(in_flight)
        self.queue_depth.set_function(waiting)

    def describe(self, store: Store, policy: Policy, *, undecided: bool) -> None:
        """Describe a store in place of its earlier version, and count its verdicts from zero.

        Args:
            store: version that is served.
            policy: policy of the verdicts.
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
        baseline = record.baseline(undecided=undecided)
        self.alarm_baseline_ratio.labels(manifest.name).set(baseline.rate)
        undecided_rate = None if policy.capped else record.undecided.rate
        _set(self.undecided_baseline_ratio, manifest.name, undecided_rate)
        images = baseline.trials if policy.keeps_baseline(undecided=undecided) else None
        _set(self.calibration_images, manifest.name, images)
        self._count_from_zero(manifest.name, manifest.classes)
        self.unguarded.labels(manifest.name)
        for whose in _WHOSE:
            self.not_finite.labels(manifest.name, whose)

    def answered(self, answer: Answer) -> None:
        """Count an answer."""
        store, judgement = answer.model.name, answer.judgement
        if not answer.guarded:
            self.unguarded.labels(store).inc()
            return
        counted = self._counted[store]
        counted.verdicts[judgement.verdict, answer.cached].inc()
        if not answer.cached:
            alarm = answer.adversarial
            known = counted.labels.get((judgement.class_name, alarm))
            # A class is unknown where a store has too many, or where a version that was replaced
            # still answers.
            (known or self.labels.labels(store, _ANY_CLASS, _said(alarm))).inc()

    def _count_from_zero(self, store: str, classes: list[str]) -> None:
        """Make the counters of a store, and drop those of classes it no longer has."""
        names = classes if len(classes) <= _MOST_CLASSES else [_ANY_CLASS]
        before, either = self._counted.get(store), (False, True)
        if before is not None:
            for class_name, alarm in before.labels.keys() - {
                (name, alarm) for name in names for alarm in either
            }:
                self.labels.remove(store, class_name, _said(alarm))
        self._counted[store] = _Counted(
            verdicts={
                (verdict, cached): self.verdicts.labels(store, verdict.value, _said(cached))
                for verdict in Verdict
                for cached in either
            },
            labels={
                (name, alarm): self.labels.labels(store, name, _said(alarm))
                for name in names
                for alarm in either
            },
        )

    def observe(self, outcome: Outcome) -> None:
        """Record how long an image waited and ran, and how many mutants it took."""
        self.stages["queue"].observe(outcome.queue_seconds)
        self.stages["mutants"].observe(outcome.run_seconds)
        self.mutants_evaluated.observe(outcome.mutants)


def _set(gauge: Gauge, store: str, value: float | None) -> None:
    """Set a store's value, or remove it where it is None."""
    if value is None:
        gauge.remove(store)
    else:
        gauge.labels(store).set(value)


def _said(value: bool) -> str:
    """Return the value of a Prometheus label."""
    return "true" if value else "false"
