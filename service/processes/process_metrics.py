"""Metrics of the supervisor of several processes; they exist only where there is one."""

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]


class ProcessMetrics:
    """Metrics of how processes come and go."""

    def __init__(self) -> None:
        """Register the metrics, on a registry of their own."""
        self.registry = CollectorRegistry()
        self.serving = Gauge("guard_processes", "Processes of the server that serve.", registry=self.registry)
        self.ended = Counter(
            "guard_processes_ended",
            "Processes that ended though the server goes on, each of which is replaced.",
            registry=self.registry,
        )
