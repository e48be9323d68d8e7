"""The client for code without asyncio."""

import ssl
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Literal, Self, TypeVar, overload

import httpx

from mutant_guard.client import calls
from mutant_guard.client.attempts import AttemptResult, Pause, Send
from mutant_guard.client.base import CONCURRENCY, LIMITS, SECONDS, BaseClient, checked_concurrency
from mutant_guard.client.calls import Call, State
from mutant_guard.client.errors import BusyError, ClientError
from mutant_guard.client.images import Image, content
from mutant_guard.client.in_order import in_order
from mutant_guard.client.reply import Reply
from mutant_guard.client.retries import NEVER, Retries
from mutant_guard.store.atomic import SECRET, write_atomically
from mutant_guard.wire.inference import ModelState
from mutant_guard.wire.review import AlarmRates, ReviewDetails, ReviewEntry
from mutant_guard.wire.verdict import BareClassification, Classification

_T = TypeVar("_T")

_UNSTOPPED = Event()
"""Of a call that somebody waits for."""


class GuardClient(BaseClient):
    """Asks a mutant-guard server. Connections are kept and shared; threads may share a client.

    Every method raises ``ClientError``s: ``RefusedError`` for an answer that is an error (``BadRequestError``,
    ``KeyRefusedError``, ``NotFoundError``, ``BusyError``, ``DeadlineError``), ``UnreachableError``, ``TimedOutError``,
    ``UnexpectedAnswerError``.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float = SECONDS,
        retries: Retries | None = None,
        verify: bool | ssl.SSLContext = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """A client of one server.

        Args:
            url: of the server; by default that of the environment, ``MUTANT_GUARD_URL``.
            key: API key; by default that of the environment, ``MUTANT_GUARD_API_KEY``, or none.
            timeout: seconds a call may take in all, attempts and pauses included, each single write or read counted
                anew: what comes drop by drop is only ended while the body of an answer is read.
            retries: when a call is tried again.
            verify: whom to trust over https.
            clock: seconds that only go forward.
            sleep: waits for so many; by default until nobody wants the answer any more.

        Raises:
            ClientSettingsError: the URL or the key cannot be one.
            ValueError: the timeout is none.
        """
        super().__init__(url, key, timeout, retries, clock)
        self._sleep = sleep
        self._http = httpx.Client(headers=self._headers, limits=LIMITS, verify=verify, timeout=timeout)

    def __enter__(self) -> Self:
        """The client; its connections are closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them."""
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    @overload
    def classify(
        self,
        image: Image,
        *,
        store: str | None = None,
        explain: bool = False,
        guard: Literal["on"] = "on",
        timeout: float | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Classification: ...

    @overload
    def classify(
        self,
        image: Image,
        *,
        store: str | None = None,
        explain: bool = False,
        guard: Literal["off"],
        timeout: float | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> BareClassification: ...

    def classify(
        self,
        image: Image,
        *,
        store: str | None = None,
        explain: bool = False,
        guard: Literal["on", "off"] = "on",
        timeout: float | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Classification | BareClassification:
        """The label of an image and whether to trust it.

        Args:
            image: bytes of an image file, its path, or an open file.
            store: which judges; the server's first by default.
            explain: with the path of the test.
            guard: ``off`` for the label alone, where the server allows it; there is no path then.
            timeout: seconds for all of it, as of the client. The server is told, and says by then what it knows.
            request_id: what its log is to call the request, in printable ASCII.
            traceparent: the trace it belongs to (W3C Trace Context).

        Raises:
            OSError: the file cannot be read.
            ClientError: there is no answer.
            ValueError: the timeout, request id or traceparent cannot be one.
        """
        trace = calls.Trace(request_id, traceparent)
        body = content(image)
        if guard == "off":
            return self._ask(calls.classify_unguarded(body, store=store, timeout=timeout, trace=trace))
        return self._ask(calls.classify(body, store=store, explain=explain, timeout=timeout, trace=trace))

    @overload
    def classify_many(
        self,
        images: Iterable[Image],
        *,
        concurrency: int = CONCURRENCY,
        store: str | None = None,
        explain: bool = False,
        timeout: float | None = None,
        return_errors: Literal[False] = False,
    ) -> Generator[Classification, None, None]: ...

    @overload
    def classify_many(
        self,
        images: Iterable[Image],
        *,
        concurrency: int = CONCURRENCY,
        store: str | None = None,
        explain: bool = False,
        timeout: float | None = None,
        return_errors: Literal[True],
    ) -> Generator[Classification | ClientError | OSError, None, None]: ...

    def classify_many(
        self,
        images: Iterable[Image],
        *,
        concurrency: int = CONCURRENCY,
        store: str | None = None,
        explain: bool = False,
        timeout: float | None = None,
        return_errors: bool = False,
    ) -> Generator[Classification | ClientError | OSError, None, None]:
        """The answers for many images, in their order, as they come; images are taken as they are needed.

        Args:
            images: of each as of ``classify``.
            concurrency: most requests at a time.
            store: as of ``classify``.
            explain: as of ``classify``.
            timeout: seconds for each.
            return_errors: an image's error takes the place of its answer; else the first is raised; what is under way
                by then is waited for, and what has not begun is not sent.

        Raises:
            ValueError: the concurrency is none.
        """
        checked_concurrency(concurrency)

        def one(image: Image, stop: Event) -> Classification | ClientError | OSError:
            try:
                call = calls.classify(content(image), store=store, explain=explain, timeout=timeout)
                return self._ask(call, stop=stop)
            except (ClientError, OSError) as error:
                if not return_errors:
                    raise
                return error

        return in_order(one, images, concurrency)

    def ready(self) -> bool:
        """Whether the server takes requests. Asked once. Raises: ClientError, it does not say."""
        return self._probe("/readyz")

    def live(self) -> bool:
        """Whether it is alive; where not, only a restart helps. Asked once. Raises: ClientError, it does not say."""
        return self._probe("/livez")

    def models(self) -> list[ModelState]:
        """The stores that are served, the default first. Raises: ClientError."""
        return self._ask(calls.models())

    def alarm_rate(self) -> AlarmRates:
        """Alarms of the last hour, beside those on clean images. Raises: ClientError."""
        return self._ask(calls.alarm_rate())

    def reviews(self, state: State = "open", store: str | None = None) -> Generator[ReviewEntry, None, None]:
        """The entries of the review queue, the newest first, page by page as they are needed. Raises: ClientError."""
        before: str | None = None
        while True:
            page = self._ask(calls.reviews(state, store, before))
            yield from page.entries
            if page.next is None:
                return
            before = page.next

    def review(self, identifier: str) -> ReviewDetails:
        """An entry with the path of its test. Raises: ClientError; ValueError, nothing is named so."""
        return self._ask(calls.review(identifier))

    def review_image(self, identifier: str) -> bytes:
        """The image of an entry, a PNG. Raises: ClientError; ValueError, nothing is named so."""
        return self._ask(calls.review_image(identifier))

    def decide(
        self, identifier: str, decision: Literal["confirm", "dismiss"], label: int | None = None
    ) -> ReviewEntry:
        """Decide about an entry; deciding again replaces what was decided.

        Args:
            identifier: of the entry.
            decision: ``confirm``: the alarm was right. ``dismiss``: it was not, the label is.
            label: what a confirmed image truly shows, where that is known.

        Raises:
            ClientError: it was not taken.
            ValueError: it is no decision, or nothing is named so.
        """
        return self._ask(calls.decide(identifier, decision, label))

    def delete_review(self, identifier: str) -> None:
        """Have an entry gone for good, with its image and what was decided.

        Raises:
            ClientError: it was not taken; NotFoundError: it is gone already.
            ValueError: nothing is named so.
        """
        self._ask(calls.delete_review(identifier))

    def export_reviews(self, path: Path, store: str | None = None, *, sampled: bool = False) -> None:
        """Write confirmed labels and their images to an .npz for ``mutant-store calibrate --data npz:FILE``. The file
        is whole or as it was before, and readable by its owner alone: it holds what callers sent.

        Args:
            path: of the file.
            store: whose; the server's first by default.
            sampled: only what was drawn at random, whatever its verdict.

        Raises:
            ClientError: there is none.
            OSError: the file cannot be written.
        """
        write_atomically(path, self._ask(calls.export_reviews(store, sampled)), mode=SECRET)

    def _probe(self, path: Literal["/livez", "/readyz"]) -> bool:
        try:
            self._ask(calls.probe(path), NEVER)
        except BusyError as error:
            if error.status == 503:
                return False
            raise
        return True

    def _ask(self, call: Call[_T], retries: Retries | None = None, stop: Event = _UNSTOPPED) -> _T:
        steps = self._steps(call, retries)
        step = next(steps)
        while True:
            outcome = self._carry_out(step, call, stop)
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                reply: Reply = done.value
                return call.read(reply)

    def _carry_out(self, step: Send | Pause, call: Call[_T], stop: Event) -> AttemptResult:
        if isinstance(step, Pause):
            (self._sleep or stop.wait)(step.seconds)
            if stop.is_set():
                raise CancelledError
            return None
        try:
            return self._send(self._request(self._http, call, step.seconds), self._clock() + step.seconds)
        except (httpx.RequestError, TimeoutError) as error:
            return error

    def _send(self, request: httpx.Request, until: float) -> Reply:
        response = self._http.send(request, stream=True)
        try:
            chunks = []
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                # httpx limits each read alone, and gives no hold on those of headers.
                if self._clock() > until:
                    raise TimeoutError
        finally:
            response.close()
        return Reply(response.status_code, response.headers, b"".join(chunks))
