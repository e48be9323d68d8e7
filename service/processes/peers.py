"""Link of a server process to its supervisor, and through it to the other processes."""

import asyncio
import itertools
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from service.keys.api_keys import ApiKey

_ASK_SECONDS = 2.0
_LIMIT_SECONDS = 0.5
_LOAD_SECONDS = 900.0
_MOST_UNSENT = 1000
_STATUS = 1

Handler = Callable[..., Any]
"""Answers a question of the supervisor's, in a thread of its own; what it returns goes into JSON."""


class PeersError(Exception):
    """The other processes did not answer in time, or what was asked of them failed."""


class Peers:
    """The other processes of a server, asked through the supervisor by JSON lines on a socket.

    Threads read and write, so that neither a busy event loop here nor a silent supervisor holds up
    the other. When the supervisor is gone, however it ended, this process ends at once: its
    successor needs the port.

    Attributes:
        beginning: what the supervisor wrote first.
        on_signal: function that takes a signal which the supervisor passes on; until it is set, a
            signal ends the process.
    """

    def __init__(self, link: socket.socket) -> None:
        """Read what the supervisor writes first, and wait for more in a thread.

        Args:
            link: socket whose other end is the supervisor's.

        Raises:
            SystemExit: the supervisor is gone.
        """
        self._link, self._lines = link, link.makefile("rb")
        self._numbers = itertools.count()
        self._asked: dict[int, Future[Any]] = {}
        self._handlers: Mapping[str, Handler] = {}
        self._unsent: SimpleQueue[bytes] = SimpleQueue()
        self.on_signal: Callable[[int], None] = lambda _: os._exit(0)
        first = self._lines.readline()
        if not first:
            sys.exit(_STATUS)  # the supervisor is gone
        self.beginning: dict[str, Any] = json.loads(first)
        for work in (self._read, self._write):
            threading.Thread(target=work, name="peers", daemon=True).start()

    @property
    def order_key(self) -> bytes | None:
        """Order key of the processes that serve already; None for the first process."""
        given = self.beginning.get("order_key")
        return None if given is None else bytes.fromhex(given)

    @property
    def versions(self) -> dict[Path, str]:
        """Version of each store, by its directory, that the other processes serve."""
        return {Path(path): version for path, version in self.beginning.get("versions", {}).items()}

    def ready(self, handlers: Mapping[str, Handler], **facts: Any) -> None:
        """Tell the supervisor that this process serves, and answer its questions from now on.

        Args:
            handlers: functions that answer, by the name of the question.
            facts: what the supervisor is told.
        """
        self._handlers = handlers
        self._unsent.put(_line({"ready": facts}))

    async def exposition(self) -> bytes:
        """Return the metrics of all processes in Prometheus' text format.

        Raises:
            PeersError: the supervisor does not answer.
        """
        text: str = await self._ask("metrics", _ASK_SECONDS)
        return text.encode()

    async def alarms(self, minutes: list[tuple[str, str, int]]) -> list[tuple[int, int]]:
        """Return verdicts and alarms of all processes, for each minute of a version of a store.

        Raises:
            PeersError: the supervisor does not answer.
        """
        found: list[tuple[int, int]] = await self._ask("alarms", _ASK_SECONDS, minutes=minutes)
        return found

    async def load(self, name: str) -> None:
        """Have all processes serve the current version of a store.

        Raises:
            PeersError: it does not load, and all go on with the version before; or it takes longer
                than a quarter of an hour.
        """
        await self._ask("load", _LOAD_SECONDS, name=name)

    async def take(self, key: ApiKey) -> float:
        """Use up one token of a key, as ``Limits`` says, over all processes.

        A supervisor that does not answer in half a second lets nobody pass.
        """
        if key.requests_per_second is None:
            return 0.0
        limit = {"sha256": key.sha256, "requests_per_second": key.requests_per_second, "at_once": key.at_once}
        try:
            return float(await self._ask("take", _LIMIT_SECONDS, **limit))
        except PeersError:
            return 1.0

    async def _ask(self, what: str, seconds: float, **facts: Any) -> Any:
        if self._unsent.qsize() > _MOST_UNSENT:
            raise PeersError("the supervisor of the server's processes does not listen")
        number, answer = next(self._numbers), Future[Any]()
        answer.set_running_or_notify_cancel()  # from now on a late answer harms nobody
        self._asked[number] = answer
        self._unsent.put(_line({"id": number, "ask": what, "with": facts}))
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(answer)
        except TimeoutError as error:
            raise PeersError(f"the server's processes did not answer within {seconds:g} s") from error
        finally:
            self._asked.pop(number, None)

    def _read(self) -> None:
        try:
            for line in self._lines:
                self._take_message(json.loads(line))
        finally:
            os._exit(_STATUS)  # the supervisor is gone

    def _take_message(self, message: dict[str, Any]) -> None:
        if "signal" in message:
            self.on_signal(message["signal"])
        elif "ask" in message:
            threading.Thread(target=self._answer, args=(message,), name="answer", daemon=True).start()
        elif (asked := self._asked.get(message["id"])) is not None:
            if "error" in message:
                asked.set_exception(PeersError(message["error"]))
            else:
                asked.set_result(message["answer"])

    def _answer(self, message: dict[str, Any]) -> None:
        reply: dict[str, Any] = {"id": message["id"]}
        try:
            reply["answer"] = self._handlers[message["ask"]](**message["with"])
        except Exception as error:  # whatever it is, the one who asked is told
            reply["error"] = str(error)
        self._unsent.put(_line(reply))

    def _write(self) -> None:
        try:
            while True:
                self._link.sendall(self._unsent.get())
        except OSError:  # the reader ends the process
            return


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
