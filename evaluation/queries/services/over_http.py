"""The real server as the service that is asked: PNG files over sockets."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evaluation.png import encode_png
from evaluation.queries.services.judge import StoreJudge
from evaluation.queries.services.response import REFUSAL, Pixels, Query, Response, told_doubt
from evaluation.server import ORDER_KEY, served
from mutant_guard.client import BareClassification, BusyError, Classification, GuardClient, Retries
from service.probing.errors import ProbingError


class OverHttp:
    """Server of a store, which starts anew with every campaign."""

    def __init__(self, store: Path, judge: StoreJudge, *, guarded: bool, settings: Mapping[str, Any]) -> None:
        """Describe the server; none is started.

        Args:
            store: directory of the store.
            judge: its guard, which says what the classifier's own labels are.
            guarded: whether the verdict is asked for; otherwise the bare label.
            settings: further settings of the server, by name.
        """
        self._store, self._judge, self._guarded = store, judge, guarded
        self._settings = {"allow_guard_off": "true", "order_key": ORDER_KEY, "cache_seconds": "0"}
        self._settings |= {name: str(value) for name, value in settings.items()}
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

    def ask(self, images: Pixels, queries: Sequence[Query]) -> list[Response]:
        """Respond to images uint8 [N, H, W, C], one after the other; the server's own clock counts.

        Raises:
            ClientError: the server gives no answer, for another reason than a campaign.
        """
        own = self._judge.labels(images).tolist()
        return [self._one(encode_png(image), label) for image, label in zip(images, own, strict=True)]

    def _one(self, content: bytes, own: int) -> Response:
        if self._client is None:
            raise RuntimeError("the server is not started")
        try:
            found = self._client.classify(content, guard="on" if self._guarded else "off")
        except BusyError as error:
            if error.code != ProbingError.code:
                raise
            return REFUSAL
        return _bare(found, own) if isinstance(found, BareClassification) else _guarded(found, own)


def _bare(found: BareClassification, own: int) -> Response:
    withheld = found.confidence is None
    return Response(found.label, own, found.confidence, probing=withheld, seen=withheld)


def _guarded(found: Classification, own: int) -> Response:
    probing = bool(found.probing) or found.confidence is None
    return Response(
        found.label,
        own,
        found.confidence,
        found.adversarial,
        told_doubt(found.doubt, found.label_change_rate if found.mutants else None),
        probing,
        found.related_queries or 0,
        seen=probing,
    )
