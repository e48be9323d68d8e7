"""The client for asyncio."""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar, overload

import httpx

from mutant_guard.client import calls
from mutant_guard.client.attempts import AttemptResult, Pause, Send
from mutant_guard.client.base import CONCURRENCY, LIMITS, SECONDS, BaseClient, checked_concurrency
from mutant_guard.client.calls import Call, State
from mutant_guard.client.errors import BusyError, ClientError
from mutant_guard.client.images import Image, content
from mutant_guard.client.in_order import in_order_async
from mutant_guard.client.reply import Reply
from mutant_guard.client.retries import NEVER, Retries
from mutant_guard.store.atomic import SECRET, write_atomically
from mutant_guard.wire.inference import ModelState
from mutant_guard.wire.review import AlarmRates, ReviewDetails, ReviewEntry
from mutant_guard.wire.verdict import BareClassification, Classification

_T = TypeVar("_T")


class AsyncGuardClient(BaseClient):
    """Asks a mutant-guard server. Connections are kept and shared; tasks of one event loop may share a client.

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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """A client of one server.

        Args:
            url: of the server; by default that of the environment, ``MUTANT_GUARD_URL``.
            key: API key; by default that of the environment, ``MUTANT_GUARD_API_KEY``, or none.
            timeout: seconds a call may take in all, attempts and pauses included.
            retries: when a call is tried again.
            verify: whom to trust over https.
            clock: seconds that only go forward.
            sleep: waits for so many.

        Raises:
            ClientSettingsError: the URL or the key cannot be one.
            ValueError: the timeout is none.
        """
        super().__init__(url, key, timeout, retries, clock)
        self._sleep = sleep
        self._http = httpx.AsyncClient(headers=self._headers, limits=LIMITS, verify=verify, timeout=timeout)

    async def __aenter__(self) -> Self:
        """The client; its connections are closed at the end."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them."""
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    @overload
    async def classify(
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
    async def classify(
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

    async def classify(
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
            timeout: seconds for all of it. The server is told, and says by then what it knows.
            request_id: what its log is to call the request, in printable ASCII.
            traceparent: the trace it belongs to (W3C Trace Context).

        Raises:
            OSError: the file cannot be read.
            ClientError: there is no answer.
            ValueError: the timeout, request id or traceparent cannot be one.
        """
        trace = calls.Trace(request_id, traceparent)
        body = await _content(image)
        if guard == "off":
            return await self._ask(calls.classify_unguarded(body, store=store, timeout=timeout, trace=trace))
        return await self._ask(
            calls.classify(body, store=store, explain=explain, timeout=timeout, trace=trace)
        )

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
    ) -> AsyncGenerator[Classification, None]: ...

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
    ) -> AsyncGenerator[Classification | ClientError | OSError, None]: ...

    def classify_many(
        self,
        images: Iterable[Image],
        *,
        concurrency: int = CONCURRENCY,
        store: str | None = None,
        explain: bool = False,
        timeout: float | None = None,
        return_errors: bool = False,
    ) -> AsyncGenerator[Classification | ClientError | OSError, None]:
        """The answers for many images, in their order, as they come; images are taken as they are needed.

        Args:
            images: of each as of ``classify``.
            concurrency: most requests at a time.
            store: as of ``classify``.
            explain: as of ``classify``.
            timeout: seconds for each.
            return_errors: an image's error takes the place of its answer; else the first is raised; what is under way
                by then is dropped.

        Raises:
            ValueError: the concurrency is none.
        """
        checked_concurrency(concurrency)

        async def one(image: Image) -> Classification | ClientError | OSError:
            try:
                return await self.classify(image, store=store, explain=explain, timeout=timeout)
            except (ClientError, OSError) as error:
                if not return_errors:
                    raise
                return error

        return in_order_async(one, images, concurrency)

    async def ready(self) -> bool:
        """Whether the server takes requests. Asked once. Raises: ClientError, it does not say."""
        return await self._probe("/readyz")

    async def live(self) -> bool:
        """Whether it is alive; where not, only a restart helps. Asked once. Raises: ClientError, it does not say."""
        return await self._probe("/livez")

    async def models(self) -> list[ModelState]:
        """The stores that are served, the default first. Raises: ClientError."""
        return await self._ask(calls.models())

    async def alarm_rate(self) -> AlarmRates:
        """Alarms of the last hour, beside those on clean images. Raises: ClientError."""
        return await self._ask(calls.alarm_rate())

    async def reviews(
        self, state: State = "open", store: str | None = None
    ) -> AsyncGenerator[ReviewEntry, None]:
        """The entries of the review queue, the newest first, page by page as they are needed. Raises: ClientError."""
        before: str | None = None
        while True:
            page = await self._ask(calls.reviews(state, store, before))
            for entry in page.entries:
                yield entry
            if page.next is None:
                return
            before = page.next

    async def review(self, identifier: str) -> ReviewDetails:
        """An entry with the path of its test. Raises: ClientError; ValueError, nothing is named so."""
        return await self._ask(calls.review(identifier))

    async def review_image(self, identifier: str) -> bytes:
        """The image of an entry, a PNG. Raises: ClientError; ValueError, nothing is named so."""
        return await self._ask(calls.review_image(identifier))

    async def decide(
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
        return await self._ask(calls.decide(identifier, decision, label))

    async def delete_review(self, identifier: str) -> None:
        """Have an entry gone for good, with its image and what was decided.

        Raises:
            ClientError: it was not taken; NotFoundError: it is gone already.
            ValueError: nothing is named so.
        """
        await self._ask(calls.delete_review(identifier))

    async def export_reviews(self, path: Path, store: str | None = None, *, sampled: bool = False) -> None:
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
        archive = await self._ask(calls.export_reviews(store, sampled))
        await asyncio.to_thread(write_atomically, path, archive, mode=SECRET)

    async def _probe(self, path: Literal["/livez", "/readyz"]) -> bool:
        try:
            await self._ask(calls.probe(path), NEVER)
        except BusyError as error:
            if error.status == 503:
                return False
            raise
        return True

    async def _ask(self, call: Call[_T], retries: Retries | None = None) -> _T:
        steps = self._steps(call, retries)
        step = next(steps)
        while True:
            outcome = await self._carry_out(step, call)
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                reply: Reply = done.value
                return call.read(reply)

    async def _carry_out(self, step: Send | Pause, call: Call[_T]) -> AttemptResult:
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
            return None
        try:
            async with asyncio.timeout(step.seconds):
                return await self._send(self._request(self._http, call, step.seconds))
        except (httpx.RequestError, TimeoutError) as error:
            return error

    async def _send(self, request: httpx.Request) -> Reply:
        response = await self._http.send(request)
        return Reply(response.status_code, response.headers, response.content)


async def _content(image: Image) -> bytes:
    """The bytes of an image file; a file is not read in the event loop."""
    return image if isinstance(image, bytes) else await asyncio.to_thread(content, image)
