"""Supervisor of several server processes that share a port: it starts, replaces and ends them."""

import asyncio
import signal
import socket
import time
from contextlib import suppress
from typing import Any, NamedTuple

import structlog
import uvicorn

from service.http.connections.url import url_of
from service.keys.rate_limit import RateLimit
from service.processes.member import Member
from service.processes.merged_metrics import Families, counts_of, exposition, families_of, merged
from service.processes.peers import PeersError
from service.processes.process_metrics import ProcessMetrics
from service.processes.shares import as_json, share_of, text_of
from service.processes.turns import forget, turns_file
from service.settings import Settings
from service.telemetry.logs import configure_logs

EXIT_STATUS = 70
"""Exit status where processes end again and again: EX_SOFTWARE of sysexits.h."""

_ANSWER_SECONDS = 1.0
_LOAD_SECONDS = 600.0
_LOADS = 3
"""Loads of a store after which processes that still differ are replaced."""
_SETTLED_SECONDS = 10.0
"""Seconds that a process serves at least before its end is one of its own."""
_MOST_EARLY = 5
"""Ends in a row, each within ``_SETTLED_SECONDS`` of its process's start, that end the server."""
_LEAST_PAUSE, _MOST_PAUSE = 0.1, 5.0
_SPARE_SECONDS = 10.0


class _Limited(NamedTuple):
    """What counts of an API key for its rate."""

    sha256: str
    requests_per_second: float
    at_once: int


def supervise(settings: Settings, *, host: str, port: int) -> int:
    """Serve with several processes until a signal ends them.

    The first process is started alone, so that a store that does not load is reported once. The
    others begin as it did: with its order key, and the versions that it serves.

    Args:
        settings: settings of the server, with the number of its processes.
        host: address to listen on.
        port: TCP port to listen on.

    Returns:
        The exit status of the server.
    """
    turns = turns_file(settings.processes)
    configure_logs(settings.log_format, shared=turns)
    return asyncio.run(_Supervisor(settings, turns, host=host, port=port).run())


class _Supervisor:
    """What the supervisor knows of its processes."""

    def __init__(self, settings: Settings, turns: int, *, host: str, port: int) -> None:
        self._settings, self._share, self._turns = settings, share_of(settings), turns
        self._listening = _bound(host, port)
        self._ports = [self._listening]
        if settings.probe_port is not None:
            self._ports.append(_bound(host, settings.probe_port))
        self._descriptors = [turns, *(port.fileno() for port in self._ports)]
        self._members: dict[int, Member] = {}
        self._beginning: dict[str, Any] = {}
        self._changing = asyncio.Lock()
        self._ending = asyncio.Event()
        self._status = self._early = 0
        self._limit = RateLimit()
        self._ended: Families = []
        self._metrics = ProcessMetrics()

    async def run(self) -> int:
        """Serve until a signal comes, and return the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        url = url_of(self._listening)
        try:
            first, *others = [await self._spawn(number) for number in range(self._settings.processes)]
            served = await self._begin(first)
        except OSError as error:
            self._log.error("processes cannot be started", reason=str(error), exit_status=EXIT_STATUS)
            served, self._status = False, EXIT_STATUS
        if not served:
            for member in self._members.values():
                member.kill()
            return self._status
        keeping = [asyncio.create_task(self._keep(first))]
        async with self._changing:
            await asyncio.gather(*map(self._begin, others))
        keeping += [asyncio.create_task(self._keep(other)) for other in others]
        if not self._ending.is_set():
            self._log.info("serving", url=url, processes=len(self._serving), **first.said["serves"])
        await self._ending.wait()
        patience = self._settings.drain_seconds + 2 * self._settings.grace_seconds + _SPARE_SECONDS
        _, late = await asyncio.wait(keeping, timeout=patience)
        for member in self._members.values():
            member.kill()
        if late:
            self._log.error("processes that did not end were killed", processes=len(late))
            self._status = self._status or EXIT_STATUS
            await asyncio.wait(late)
        self._log.info("stopped")
        return self._status

    @property
    def _log(self) -> Any:
        return structlog.get_logger()

    def _end(self, number: int) -> None:
        """Have every process end as the signal says."""
        if not self._ending.is_set():
            self._ending.set()
            self._closing = asyncio.create_task(self._close())
        for member in self._members.values():
            member.signal(number)

    async def _close(self) -> None:
        """Let go of the ports: once the last process has, nobody may connect any more."""
        async with self._changing:  # a process that is being started inherits them
            for listening in self._ports:
                listening.close()

    async def _spawn(self, number: int) -> Member:
        member = await Member.start(number, self._descriptors, self._answer)
        self._members[number] = member
        return member

    async def _begin(self, member: Member) -> bool:
        """Have a process begin as the others did; return whether it serves."""
        if self._ending.is_set():
            member.kill()
            return False
        beginning = {
            "settings": as_json(self._share),
            "number": member.number,
            "descriptors": self._descriptors,
            **await self._known(),
        }
        if not await member.begin(text_of(beginning)):
            if member.number == 0 and not self._beginning:  # nothing has been served yet
                self._gone(member, await member.ended())
            return False
        self._beginning = member.said["beginning"]
        self._metrics.serving.set(len(self._serving))
        return True

    async def _known(self) -> dict[str, Any]:
        """Return what a further process begins with: order key and versions of one that serves."""
        for member in self._serving:
            if not member.leaving:
                try:
                    self._beginning = await member.ask("beginning", _ANSWER_SECONDS)
                except PeersError:
                    continue
                break
        return self._beginning

    async def _keep(self, kept: Member) -> None:
        """Replace a process whenever it ends, until the server does."""
        member: Member | None = kept
        while True:
            if member is not None:
                self._gone(member, await member.ended())
            if self._ending.is_set():
                return
            since = None if member is None else member.since
            settled = since is not None and time.monotonic() - since > _SETTLED_SECONDS
            self._early = 0 if settled else self._early + 1
            self._metrics.ended.inc()
            if self._early >= _MOST_EARLY:
                self._log.error(
                    "processes end soon after their start, again and again; the server ends",
                    times=self._early,
                    exit_status=EXIT_STATUS,
                )
                self._status = EXIT_STATUS
                self._end(signal.SIGTERM)
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), min(_LEAST_PAUSE * 2**self._early, _MOST_PAUSE))
            async with self._changing:
                if self._ending.is_set():
                    return
                try:
                    member = await self._spawn(kept.number)
                except OSError as error:
                    member = None
                    self._log.error("a process cannot be started", reason=str(error))
                else:
                    await self._begin(member)

    def _gone(self, member: Member, status: int) -> None:
        """Forget a process that has ended; what it counted stays counted."""
        if self._members.get(member.number) is member:
            del self._members[member.number]
            forget(self._turns, member.number)
            self._ended = merged([self._ended, counts_of(member.families)])
        self._metrics.serving.set(len(self._serving))
        if not member.begun:
            return
        if self._ending.is_set() or not self._beginning:
            self._status = self._status or (status if status >= 0 else EXIT_STATUS)
        else:
            self._log.warning("a process has ended and is replaced", pid=member.pid, status=status)

    @property
    def _serving(self) -> list[Member]:
        return [member for member in self._members.values() if member.since is not None]

    async def _answer(self, asker: Member, what: str, facts: dict[str, Any]) -> Any:
        """Answer a question of a process."""
        if what == "take":
            return self._limit.take(_Limited(**facts))
        if what == "metrics":
            await self._collect("metrics")
            given = [member.families for member in self._serving]
            return exposition(merged([*given, self._ended, families_of(self._metrics.registry)])).decode()
        if what == "alarms":
            parts = await self._collect("alarms", **facts)
            if not parts:
                raise PeersError("no process answered in time")
            minutes = zip(*parts.values(), strict=True)
            return [[sum(one for one, _ in found), sum(one for _, one in found)] for found in minutes]
        await self._load(asker, facts["name"])
        return None

    async def _collect(self, what: str, **facts: Any) -> dict[Member, Any]:
        """Return the answers of all processes that give one in time."""
        asked = self._serving
        found = await asyncio.gather(
            *(member.ask(what, _ANSWER_SECONDS, **facts) for member in asked), return_exceptions=True
        )
        answers = {}
        for member, answer in zip(asked, found, strict=True):
            if isinstance(answer, BaseException):
                self._log.warning("a process did not answer the others", pid=member.pid, reason=str(answer))
                continue
            answers[member] = answer
            if what == "metrics":
                member.families = answer
        return answers

    async def _load(self, asker: Member, name: str) -> None:
        """Have all processes serve the current version of a store, the one that was asked first.

        Those that do not follow it are replaced.
        """
        async with self._changing:
            wrong: list[Member] = []
            for _ in range(_LOADS):
                version = await asker.ask("load", _LOAD_SECONDS, name=name)
                others = [member for member in self._serving if member is not asker]
                found = await asyncio.gather(
                    *(member.ask("load", _LOAD_SECONDS, name=name) for member in others),
                    return_exceptions=True,
                )
                wrong = [one for one, said in zip(others, found, strict=True) if said != version]
                if not wrong:
                    return
            for member in wrong:
                self._log.error("a process does not load what the others serve", pid=member.pid, store=name)
                member.leaving = True
                member.signal(signal.SIGTERM)


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address, or end with one line where that cannot be had."""
    return uvicorn.Config(_nothing, host=host, port=port, log_config=None).bind_socket()


async def _nothing(*_: object) -> None:
    """Stand for an application: processes serve, not the supervisor."""
