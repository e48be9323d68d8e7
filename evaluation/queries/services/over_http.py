"""The real server as the service that is asked: PNG files over sockets."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from evaluation.png import encode_png
from evaluation.queries.config import QueriesConfig, Scenario
from evaluation.queries.services.answer import Answer, Pixels, Query
from evaluation.queries.services.judge import told_doubt
from evaluation.server import ORDER_KEY, served
from mutant_guard.client import BusyError, Classification, GuardClient, Retries

_REFUSED = 429


def server_settings(config: QueriesConfig, scenario: Scenario) -> dict[str, str]:
    """Return the settings of a server that does as a scenario says, by lower-case name."""
    if scenario.memory == "off":
        return {}
    return {
        "probing": scenario.memory,
        "probing_entries": str(config.entries),
        "probing_seconds": f"{config.seconds:g}",
        **{f"probing_{name}": f"{value:g}" for name, value in scenario.thresholds.items()},
    }


class OverHttp:
    """Server of a store, which starts anew with every campaign."""

    def __init__(self, store: Path, *, guarded: bool, settings: Mapping[str, str]) -> None:
        """Describe the server; none is started.

        Args:
            store: directory of the store.
            guarded: whether the verdict is asked for; otherwise the bare label.
            settings: further GUARD_ settings by lower-case name.
        """
        self._store, self._guarded = store, guarded
        self._settings = {"allow_guard_off": "true", "order_key": ORDER_KEY, "cache_seconds": "0", **settings}
        self._running = ExitStack()
        self._client: GuardClient | None = None

    def __enter__(self) -> Self:
        """Return the service."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self._running.close()

    def forget(self) -> None:
        """Start the server anew.

        Raises:
            ServerError: it ended or did not become ready within a minute.
        """
        self._running.close()
        url = self._running.enter_context(served(self._store, policy="calibrated", **self._settings))
        self._client = self._running.enter_context(GuardClient(url, retries=Retries(attempts=1)))

    def ask(self, images: Pixels, queries: Sequence[Query]) -> list[Answer]:
        """Answer images uint8 [N, H, W, C], one after the other; the server's own clock counts.

        Raises:
            ClientError: the server gives no answer, for another reason than a campaign.
        """
        return [self._one(encode_png(image)) for image in images]

    def _one(self, content: bytes) -> Answer:
        if self._client is None:
            raise RuntimeError("the server is not started")
        try:
            found = self._client.classify(content, guard="on" if self._guarded else "off")
        except BusyError as error:
            if error.status != _REFUSED or error.code != "probing":
                raise
            return Answer(None, None, probing=True, refused=True)
        probing, related = (
            bool(getattr(found, "probing", False)),
            int(getattr(found, "related_queries", 0) or 0),
        )
        if not isinstance(found, Classification):
            return Answer(found.label, found.label, found.confidence, probing=probing, related=related)
        return Answer(
            found.label,
            found.label,
            found.confidence,
            found.adversarial,
            told_doubt(found.doubt, found.label_change_rate if found.mutants else None),
            probing,
            related,
        )
