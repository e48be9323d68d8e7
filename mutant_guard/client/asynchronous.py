"""Client for asyncio."""

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
from mutant_guard.client.base import (
    CONCURRENCY,
    LIMITS,
    SECONDS,
    BaseClient,
    checked_concurrency,
    environment_read,
)
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
    """Client of a mutant-guard server for asyncio.

    Connections are kept and shared. Tasks of one event loop may share a client. Every method raises
    ``ClientError``s: ``RefusedError`` for an answer that is an error (``BadRequestError``,
    ``KeyRefusedError``, ``NotFoundError``, ``BusyError``, ``DeadlineError``), ``UnreachableError``,
    ``TimedOutError``, ``UnexpectedAnswerError``.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float = SECONDS,
        retries: Retries | None = None,
        verify: bool | ssl.SSLContext = True,
        trust_env: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Make a client of one server.

        Args:
            url: base URL of the server; by default the environment variable ``MUTANT_GUARD_URL``.
            key: API key; by default the environment variable ``MUTANT_GUARD_API_KEY``, or none.
            timeout: seconds that a call may take in all, with attempts and pauses.
            retries: rules by which a call is tried again; by default ``Retries()``.
            verify: whether to check the server's certificate over https, or the TLS settings for
                it.
            trust_env: whether proxies and trusted certificates are taken from the environment
                (``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE``,
                ``SSL_CERT_DIR``). A proxy reads what is sent to an http URL, the key included.
            clock: function that returns seconds which only go forward.
            sleep: function that waits for a number of seconds.

        Raises:
            ClientSettingsError: the URL or the key is not valid, or what the environment names
                cannot be used.
            ValueError: the timeout is not a positive number of seconds.
        """
        super().__init__(url, key, timeout, retries, clock)
        self._sleep = sleep
        with environment_read():
            self._http = httpx.AsyncClient(
                headers=self._headers, limits=LIMITS, verify=verify, timeout=timeout, trust_env=trust_env
            )

    async def __aenter__(self) -> Self:
        """Return the client; its connections are closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
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
        """Ask for the label of an image and whether to trust it.

        Args:
            image: bytes of an image file, its path, or an open file.
            store: name of the store that judges; by default the server's first.
            explain: whether the answer has the path of the test.
            guard: ``off`` for the label alone, where the server allows it; the answer then has no
                path.
            timeout: seconds for the whole call. The server is told of it, and answers by then with
                the evidence it has.
            request_id: name of the request in the server's log, in printable ASCII.
            traceparent: trace that the request belongs to (W3C Trace Context).

        Returns:
            The answer of the server, without a verdict for ``guard="off"``.

        Raises:
            OSError: the file cannot be read.
            ClientError: there is no answer.
            ValueError: the timeout, request id or traceparent is not valid.
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
        """Ask for the verdicts on many images; yield the answers in order, as they come.

        The answers come in the order of the images, which are taken as they are needed.

        Args:
            images: images, each of a type that ``classify`` takes.
            concurrency: most requests at a time.
            store: name of the store that judges; by default the server's first.
            explain: whether the answers have the path of the test.
            timeout: seconds for each image.
            return_errors: whether an image's error takes the place of its answer. Else the first
                error is raised, and requests in flight are dropped.

        Raises:
            ValueError: the concurrency is less than 1.
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
        """Ask once whether the server takes requests.

        Raises:
            ClientError: the server gives no answer to the question.
        """
        return await self._probe("/readyz")

    async def live(self) -> bool:
        """Ask once whether the server is alive; if not, only a restart helps.

        Raises:
            ClientError: the server gives no answer to the question.
        """
        return await self._probe("/livez")

    async def models(self) -> list[ModelState]:
        """Return the stores that are served, the default first.

        Raises:
            ClientError: there is no answer.
        """
        return await self._ask(calls.models())

    async def alarm_rate(self) -> AlarmRates:
        """Return the alarms of the last hour, beside those on clean images.

        Raises:
            ClientError: there is no answer.
        """
        return await self._ask(calls.alarm_rate())

    async def reviews(
        self, state: State = "open", store: str | None = None
    ) -> AsyncGenerator[ReviewEntry, None]:
        """Yield the entries of the review queue, the newest first.

        Pages of the queue are fetched as they are needed.

        Args:
            state: state of the entries, or ``all``.
            store: name of a store whose entries to give; by default those of all stores.

        Raises:
            ClientError: there is no answer.
        """
        before: str | None = None
        while True:
            page = await self._ask(calls.reviews(state, store, before))
            for entry in page.entries:
                yield entry
            if page.next is None:
                return
            before = page.next

    async def review(self, identifier: str) -> ReviewDetails:
        """Return an entry of the review queue with the path of its test.

        Args:
            identifier: id of the entry.

        Raises:
            ClientError: there is no answer.
            ValueError: the identifier is not the id of an entry.
        """
        return await self._ask(calls.review(identifier))

    async def review_image(self, identifier: str) -> bytes:
        """Return the image of an entry of the review queue, a PNG file.

        Args:
            identifier: id of the entry.

        Raises:
            ClientError: there is no answer.
            ValueError: the identifier is not the id of an entry.
        """
        return await self._ask(calls.review_image(identifier))

    async def decide(
        self, identifier: str, decision: Literal["confirm", "dismiss"], label: int | None = None
    ) -> ReviewEntry:
        """Decide about an entry; a later decision replaces the one before.

        Args:
            identifier: id of the entry.
            decision: ``confirm``: the alarm was right. ``dismiss``: it was a false alarm, the label
                is right.
            label: true label of a confirmed image, where it is known.

        Raises:
            ClientError: the decision was not accepted.
            ValueError: the decision or the identifier is not valid.
        """
        return await self._ask(calls.decide(identifier, decision, label))

    async def delete_review(self, identifier: str) -> None:
        """Delete an entry for good, with its image and its decision.

        Args:
            identifier: id of the entry.

        Raises:
            ClientError: the deletion was not accepted; NotFoundError where the entry is already
                gone.
            ValueError: the identifier is not the id of an entry.
        """
        await self._ask(calls.delete_review(identifier))

    async def export_reviews(self, path: Path, store: str | None = None, *, sampled: bool = False) -> None:
        """Write the images whose true label is known, with these labels, to an .npz file.

        The file is meant for ``mutant-store calibrate --data npz:FILE``. It is written whole or
        left as it was before. It is readable by its owner alone, because it holds images that
        callers sent.

        Args:
            path: path of the file.
            store: name of the store whose entries to write; by default the server's first.
            sampled: whether to write only entries that were drawn at random, whatever their
                verdict.

        Raises:
            ClientError: there is no answer.
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
    """Return the bytes of an image file; a file is not read in the event loop."""
    return image if isinstance(image, bytes) else await asyncio.to_thread(content, image)
