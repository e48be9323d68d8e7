"""Prometheus metrics of the memory of queries; they exist only where queries are remembered."""

from collections.abc import Callable

from prometheus_client import Counter, Gauge

from service.telemetry.metrics import Metrics

_RELATED = ("none", "some", "probing")


class QueryMetrics:
    """Metrics of the memory of queries."""

    def __init__(self, metrics: Metrics) -> None:
        """Register the metrics.

        Args:
            metrics: metrics of the guard, on whose registry they are.
        """
        where = metrics.registry
        self.queries = Counter(
            "guard_queries",
            "Images asked for, by the near relatives that they have among earlier ones: none, some, or so many that "
            "they are part of a campaign (probing).",
            ["store", "related"],
            registry=where,
        )
        self.campaigns = Counter(
            "guard_campaigns",
            "Sequences of near-identical images that were found to be an attack in the making, each once.",
            ["store"],
            registry=where,
        )
        self.entries = Gauge("guard_query_entries", "Queries that are remembered.", ["store"], registry=where)
        # Kept because looking them up costs more than counting.
        self._counted: dict[str, dict[str, Counter]] = {}
        metrics.review_queued.labels("probing")

    def watch(self, store: str, entries: Callable[[], int]) -> None:
        """Count the queries of a store from zero, and read their number at every scrape.

        Args:
            store: name of the store.
            entries: returns the number of queries that are remembered.
        """
        self._counted[store] = {related: self.queries.labels(store, related) for related in _RELATED}
        self.campaigns.labels(store)
        self.entries.labels(store).set_function(entries)

    def asked(self, store: str, related: int, *, probing: bool) -> None:
        """Count a query.

        Args:
            store: name of a store that is watched.
            related: number of its near relatives.
            probing: whether it is part of a campaign.
        """
        self._counted[store]["probing" if probing else "some" if related else "none"].inc()
