"""Watch over the client's connection while a request is judged."""

import asyncio
from types import TracebackType

from fastapi import Request

from service.http.problems import ProblemError

_LOOK_AFTER_SECONDS = 0.02
"""Seconds until the watch starts; most answers come sooner and need none."""


class Presence:
    """Context manager that cancels a request's work as soon as its client is gone.

    It is put around the waiting for the answer, once the body has been read.
    """

    def __init__(self, request: Request) -> None:
        """Prepare to watch a request.

        Args:
            request: the request, its body read.
        """
        self._request = request
        self._watcher: asyncio.Task[None] | None = None
        self._gone = False

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(_LOOK_AFTER_SECONDS, self._watch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the watch.

        Raises:
            ProblemError: 400 in place of the cancellation, where the client is gone.
        """
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if kind is asyncio.CancelledError and self._gone and self._task is not None:
            self._task.uncancel()
            raise ProblemError(400, "client-gone", "the connection was closed before the answer") from error

    def _watch(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._task is not None:
            self._task.cancel()
