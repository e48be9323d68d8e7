"""A server process, as its supervisor has it."""

import asyncio
import itertools
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from service.processes.merged_metrics import Families
from service.processes.peers import PeersError

_MOST_BYTES = 1 << 26
"""Most bytes of a message. The metrics of a thousand classes take some 200 kB."""
_PROGRAM = "from service.cli import main; main()"

Answer = Callable[["Member", str, dict[str, Any]], Awaitable[Any]]
"""Answers a question of a process."""


class Member:
    """Server process and the link to it.

    Attributes:
        number: number of its place, from 0.
        said: what it said when it was ready.
        families: metrics that it last gave.
        since: seconds of the monotonic clock when it was ready, None before.
        begun: whether it was told to begin.
        leaving: whether it was told to end, since it serves what the others do not.
    """

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        link: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        answer: Answer,
    ) -> None:
        """Wait for a process's messages; see ``start``."""
        self.number, self.leaving, self.begun = number, False, False
        self.said: dict[str, Any] = {}
        self.since: float | None = None
        self.families: Families = []
        self._process, self._answer = process, answer
        reader, self._writer = link
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._replies: set[asyncio.Task[None]] = set()
        self._started = asyncio.Event()
        self._ended = asyncio.create_task(process.wait())
        self._reading = asyncio.create_task(self._read(reader))

    @classmethod
    async def start(cls, number: int, descriptors: Sequence[int], answer: Answer) -> "Member":
        """Start a process, which waits for ``begin`` once it has imported what it needs.

        It is a new program and no copy of this one: threads and locks of libraries do not survive
        being copied.

        Args:
            number: number of its place.
            descriptors: descriptors that it inherits.
            answer: function that answers its questions.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            link = await asyncio.open_connection(sock=ours, limit=_MOST_BYTES)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", _PROGRAM, "process", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *descriptors],
            )
        return cls(number, process, link, answer)

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    async def begin(self, beginning: bytes) -> bool:
        """Have the process load its stores and serve; wait until it does, or has ended.

        Args:
            beginning: first message to it, a line of JSON.

        Returns:
            Whether it serves.
        """
        self.begun = True
        self._writer.write(beginning)
        started = asyncio.create_task(self._started.wait())
        await asyncio.wait((started, self._ended), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        return not self._ended.done()

    async def ended(self) -> int:
        """Wait until the process has ended.

        Returns:
            Its exit status, negative after a signal.
        """
        status = await asyncio.shield(self._ended)
        self._writer.close()
        return status

    def signal(self, number: int) -> None:
        """Pass a signal on. As a message it comes once, whoever else sends signals to all."""
        if self.begun:
            self._send({"signal": number})
        else:
            self.kill()

    def kill(self) -> None:
        """End the process at once."""
        if not self._ended.done():
            self._process.kill()

    async def ask(self, what: str, seconds: float, **facts: Any) -> Any:
        """Ask the process.

        Args:
            what: name of the question.
            seconds: longest time to wait.
            facts: further arguments.

        Raises:
            PeersError: it answers with an error, has ended, or does not answer in time.
        """
        if self._reading.done():
            raise PeersError("the process has ended")
        number = next(self._numbers)
        self._asked[number] = answer = asyncio.get_running_loop().create_future()
        self._send({"id": number, "ask": what, "with": facts})
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as error:
            raise PeersError(f"process {self.pid} did not answer within {seconds:g} s") from error
        finally:
            del self._asked[number]

    def _send(self, message: dict[str, Any]) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(json.loads(line))
        except (OSError, ValueError):  # it ended within a message
            pass
        finally:
            for asked in self._asked.values():
                if not asked.done():
                    asked.set_exception(PeersError("the process has ended"))

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.said, self.since = message["ready"], time.monotonic()
            self._started.set()
        elif "ask" in message:
            task = asyncio.create_task(self._reply(message))
            self._replies.add(task)
            task.add_done_callback(self._replies.discard)
        elif (asked := self._asked.get(message["id"])) is not None and not asked.done():
            if "error" in message:
                asked.set_exception(PeersError(message["error"]))
            else:
                asked.set_result(message["answer"])

    async def _reply(self, message: dict[str, Any]) -> None:
        reply: dict[str, Any] = {"id": message["id"]}
        try:
            reply["answer"] = await self._answer(self, message["ask"], message["with"])
        except PeersError as error:
            reply["error"] = str(error)
        self._send(reply)
