"""Observer that counts and logs the guard's work."""

import structlog
from structlog.contextvars import get_contextvars

from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.runtime.observer import Observer
from mutant_guard.runtime.scheduling.batches import Run
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.store.reader import Store
from service.telemetry.metrics import Metrics


class ServerObserver(Observer):
    """Observer that counts frequent events in the metrics and logs rare ones."""

    def __init__(self, metrics: Metrics, *, alarm_on_undecided: bool) -> None:
        """Count in the given metrics.

        Args:
            metrics: metrics of the server.
            alarm_on_undecided: whether an undecided verdict counts as an alarm.
        """
        self._metrics, self._undecided = metrics, alarm_on_undecided

    def loaded(self, store: Store, policy: Policy) -> None:
        """Describe the loaded version in the metrics."""
        self._metrics.describe(store, policy, undecided=self._undecided)

    def decoded(self, seconds: float) -> None:
        """Record the seconds that decoding took."""
        self._metrics.stages["decode"].observe(seconds)

    def looked_up(self, *, hit: bool) -> None:
        """Count a look-up in the verdict cache."""
        (self._metrics.cache_hits if hit else self._metrics.cache_misses).inc()

    def ran(self, run: Run) -> None:
        """Count a run, its rows and the time it took."""
        self._metrics.inference_seconds.inc(run.seconds)
        if run.rows:
            self._metrics.batch_rows.observe(run.rows)

    def decided(self, outcome: Outcome) -> None:
        """Record the mutants of an image and where its time went."""
        self._metrics.observe(outcome)

    def not_finite(self, store: Store, *, original: bool) -> None:
        """Count an image with scores that are not finite."""
        self._metrics.not_finite.labels(store.name, "original" if original else "mutant").inc()

    def note(self, event: str, **facts: object) -> None:
        """Log a rare event with its facts, and with those of the request that brought it about."""
        structlog.get_logger().info(event, **facts, **get_contextvars())

    def run_failed(self, error: Exception) -> None:
        """Count a run that failed, and log it with its traceback."""
        self._metrics.run_failures.inc()
        structlog.get_logger().error("run failed", exc_info=error)

    def failed(self, error: Exception) -> None:
        """Count and log the failure of an inference loop, with its traceback."""
        self._metrics.run_failures.inc()
        structlog.get_logger().error("inference loop failed", exc_info=error)
