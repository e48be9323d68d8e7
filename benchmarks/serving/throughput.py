"""The server under load against alternatives, and against itself without its guard.

The alternatives are what people would write instead.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.alternatives import threads
from benchmarks.rounds import Contender, Measured, in_rounds
from benchmarks.sections import Section
from benchmarks.serving import engine_alone, over_http, public_servers, same_verdicts
from benchmarks.serving.engine_alone import IN_FLIGHT
from benchmarks.serving.serving_table import Names, section
from benchmarks.subjects import POLICY, ServedStore
from evaluation.server import Server, ServerError

STORES = [
    Path("stores") / name
    for name in ("mnist-lenet", "mnist-lenet-retrained", "cifar10-resnet20", "cifar10-resnet20-small")
]
"""Stores that are served."""
LITE0 = Path("lite0")
"""Name of EfficientNet-Lite0's store, which is built where it is missing."""

_ROUNDS, _SECONDS, _WARM_UP = 7, 3.0, 1.0
_QUICK_ROUNDS, _QUICK_SECONDS, _QUICK_WARM_UP = 2, 1.0, 0.5

CACHE = {"cache_seconds": "60", "cache_entries": "1"}
"""Settings of a cache that every image is looked up in and put into, and that none is found in."""

_REMEMBERED = {"query_memory": "observe", "query_entries": "1000000", "query_seconds": "1"}
_PAPER = "paper"
_GUARDED, _OFF = "/classify", "/classify?guard=off"
_JSON = "application/json"
_FEW_AT_ONCE = 4
"""Connections to a server that takes a hundred milliseconds an image, one after the other.

More connections only queue.
"""

_LEAST_ANSWERS = 16
"""Least answers of the slowest server in a round."""

_CHECKED, _QUICK_CHECKED, _CHECKED_EAGER, _CHECKED_SLOWLY = 1000, 100, 200, 32


def measure(subject: ServedStore, quick: bool, say: Callable[[str], None]) -> Section:
    """Measure all contenders of one store.

    Args:
        subject: the store, and images for it.
        quick: whether rounds are few and short.
        say: callback that is told what is going on.

    Raises:
        DisagreementError: servers that are compared do not answer the same.
        NotServedError: a server failed under load.
    """
    return _Race(subject, quick, say).run()


class _Race:
    """All contenders of one store."""

    def __init__(self, subject: ServedStore, quick: bool, say: Callable[[str], None]) -> None:
        self._subject, self._quick = subject, quick
        self._told = say
        self._stack = ExitStack()
        self._contenders: dict[str, Contender] = {}
        self._notes: list[str] = []
        self._checked = _QUICK_CHECKED if quick else _CHECKED
        self._ours: list[same_verdicts.Entry] = []

    def run(self) -> Section:
        """Start everything, check that all answer the same, and measure in turn."""
        with self._stack:
            self._say("choosing threads, opening a session a mutant")
            self._sessions = threads.of_sessions(self._subject)
            self._in_process()
            self._say("starting mutant-guard")
            self._guard()
            self._say("starting what people would write instead")
            self._alternatives()
            self._public()
            self._say(f"measuring {len(self._contenders)} contenders in turn")
            measured = in_rounds(
                self._contenders,
                _QUICK_ROUNDS if self._quick else _ROUNDS,
                _QUICK_SECONDS if self._quick else _SECONDS,
                warm_up=_QUICK_WARM_UP if self._quick else _WARM_UP,
            )
        return section(self._subject, measured, self._notes)

    def _say(self, text: str) -> None:
        self._told(f"{self._subject.store.name}: {text}")

    def _in_process(self) -> None:
        enter, subject = self._stack.enter_context, self._subject
        self._contenders[Names.ENGINE] = _rated(enter(engine_alone.engine(subject)))
        self._contenders[Names.SESSIONS] = _rated(enter(engine_alone.sessions(subject, self._sessions)))
        self._notes.append(
            f"A session of a mutant has the faster of 1 thread and a thread a core: {self._sessions}."
        )

    def _guard(self) -> None:
        server = self._stack.enter_context(over_http.ours(self._subject, **CACHE))
        self._ours = self._answers(server, self._checked)
        bare = self._answers(server, self._checked, _OFF)
        same_verdicts.check("guard=off", bare, self._ours, ["label"])
        if any("verdict" in answer for answer in bare):
            raise over_http.NotServedError(f"{server.url}{_OFF} answers with a verdict: the guard is on")
        self._remembering()
        for name, connections, path in (
            (Names.GUARDED, IN_FLIGHT, _GUARDED),
            (Names.OFF, IN_FLIGHT, _OFF),
            (Names.GUARDED_ALONE, 1, _GUARDED),
            (Names.OFF_ALONE, 1, _OFF),
        ):
            self._contenders[name] = self._contender(server, connections, path)

    def _remembering(self) -> None:
        """Add a server that remembers queries, each for less time than its image takes to come again."""
        server = self._stack.enter_context(over_http.ours(self._subject, **CACHE, **_REMEMBERED))
        self._same(Names.REMEMBERING, server, self._ours)
        self._contenders[Names.REMEMBERING] = self._contender(server, IN_FLIGHT)

    def _alternatives(self) -> None:
        server = self._alternative("sessions", POLICY, self._sessions)
        self._same(Names.SESSIONS_HTTP, server, self._ours)
        self._contenders[Names.SESSIONS_HTTP] = self._contender(server, IN_FLIGHT)
        if not self._subject.weights.exists():
            self._notes.append(f"Eager torch is left out: models/ has no {self._subject.weights.name}.")
            return
        modules = threads.of_modules(self._subject)
        self._notes.append(f"Eager torch has the faster of 1 thread and a thread a core: {modules}.")
        few = min(self._checked, _CHECKED_EAGER)
        self._slow(Names.EAGER, self._alternative("eager", POLICY, modules), self._ours[:few])
        expected = same_verdicts.expected(self._subject, _PAPER, _CHECKED_SLOWLY)
        self._slow(Names.EAGER_PAPER, self._alternative("eager", _PAPER, modules), expected)

    def _slow(self, who: str, server: Server, expected: list[same_verdicts.Entry]) -> None:
        """Add a contender that is measured until it has answered some times."""
        started = time.perf_counter()
        self._same(who, server, expected)
        least = _LEAST_ANSWERS * (time.perf_counter() - started) / len(expected)
        self._contenders[who] = self._contender(server, _FEW_AT_ONCE, least=least)

    def _public(self) -> None:
        for public in public_servers.SERVERS:
            self._say(f"starting {public.title}")
            try:
                server = self._stack.enter_context(
                    public_servers.serving_bare(public, self._subject, self._sessions, public_servers.FOLDER)
                )
            except (public_servers.NotInstalledError, ServerError) as error:
                self._notes.append(f"{public.title} is left out: {error}")
                continue
            bodies = public.bodies(self._subject)
            found = same_verdicts.answers(server, bodies[: self._checked], public.path, _JSON)
            same_verdicts.check(
                public.title, same_verdicts.labels(found, public.label), self._ours, ["label"]
            )
            self._notes.append(f"{public.title}: {public.package} {public.version}, no guard.")
            self._contenders[public.title] = over_http.contender(
                server, bodies, IN_FLIGHT, public.path, _JSON
            )

    def _alternative(self, kind: str, policy: str, count: int) -> Server:
        return self._stack.enter_context(
            over_http.alternative(self._subject, kind, policy=policy, threads=count)
        )

    def _same(self, who: str, server: Server, expected: list[same_verdicts.Entry]) -> None:
        same_verdicts.check(who, self._answers(server, len(expected)), expected)

    def _answers(self, server: Server, count: int, path: str = _GUARDED) -> list[same_verdicts.Entry]:
        subject = self._subject
        return same_verdicts.answers(server, subject.bodies[:count], path, subject.content_type)

    def _contender(
        self, server: Server, connections: int, path: str = _GUARDED, *, least: float = 0.0
    ) -> Contender:
        subject = self._subject
        return over_http.contender(
            server, subject.bodies, connections, path, subject.content_type, least=least
        )


def _rated(rate: Callable[[float], float]) -> Contender:
    return lambda seconds: Measured(rate(seconds))
