"""Engine that computes mutants: every run holds rows of all requests that are there.

It follows ``mutant_guard.runtime.scheduling``: how many rows a run has, which requests take part,
and when it gives the event loop a turn.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from simpy import Environment, Event

from benchmarks.scale.model.cores import Cores
from benchmarks.scale.model.station import Station

LONGEST_TURN = 0.02
"""Seconds of runs after which the event loop goes on with other work."""

Path = Sequence[int]
"""Mutants that an image needs next, by the number that it has met; it ends with the last of them."""


@dataclass(frozen=True)
class RunTimes:
    """Seconds of a run: the sum of these, each times as often as it comes in the run.

    Attributes:
        run: once.
        fresh: for each request that is in its first run.
        request: for each request.
        row: for each row, which is a mutant on an image.
    """

    run: float
    fresh: float
    request: float
    row: float

    def seconds(self, fresh: int, requests: int, rows: int) -> float:
        """Return the seconds of a run."""
        return self.run + self.fresh * fresh + self.request * requests + self.row * rows


@dataclass(frozen=True)
class RunLimits:
    """What bounds a run.

    Attributes:
        rows: most rows of a run.
        fill: rows that a run of few requests is filled up to.
        requests: most requests of a run.
        mutants: most mutants of a request.
    """

    rows: int
    fill: int
    requests: int
    mutants: int


class Test:
    """Test of one image."""

    __test__ = False  # a word of the field, and nothing for pytest

    def __init__(self, path: Path, done: Event | None = None) -> None:
        """Begin the test of an image with a path; ``done`` is the event of its end."""
        self.done, self.fresh = done, True
        self._path, self._met = path, 0

    def wants(self, share: int, limits: RunLimits) -> int:
        """Return how many mutants it meets in the next run, if there is room for all."""
        return min(max(self._path[self._met], share), limits.mutants - self._met) if self._path else 0

    def meet(self, mutants: int) -> bool:
        """Meet some mutants, and return whether the test has ended."""
        self.fresh = False
        self._met += mutants
        return self._met >= len(self._path)


def step(active: list[Test], times: RunTimes, limits: RunLimits) -> tuple[float, list[Test]]:
    """Do one run.

    Args:
        active: tests under way, the longest waiting first.
        times: how long runs take.
        limits: what bounds them.

    Returns:
        Seconds of the run, and the tests that it ends.
    """
    share = max(1, min(limits.fill, limits.rows) // len(active))
    taken: list[tuple[Test, int]] = []
    rows = 0
    for test in active[: limits.requests]:
        wanted = min(test.wants(share, limits), limits.rows)
        if taken and rows + wanted > limits.rows:
            break
        taken.append((test, wanted))
        rows += wanted
    fresh = sum(test.fresh for test, _ in taken)
    return times.seconds(fresh, len(taken), rows), [test for test, wanted in taken if test.meet(wanted)]


class Engine:
    """Runs, in the thread of an event loop or in one of their own."""

    def __init__(
        self, environment: Environment, cores: Cores, times: RunTimes, limits: RunLimits, thread: Station
    ) -> None:
        """Join a simulation.

        Args:
            environment: the simulation.
            cores: cores that runs work on.
            times: how long runs take.
            limits: what bounds them.
            thread: the engine's own thread, or that of the event loop.
        """
        self._environment, self._cores, self._thread = environment, cores, thread
        self._times, self._limits = times, limits
        self._active: list[Test] = []
        self._due, self._ended = False, environment.now

    def test(self, path: Path) -> Event:
        """Begin the test of an image; return the event of its end."""
        done = self._environment.event()
        self._active.append(Test(path, done))
        self._ask_for_a_turn()
        return done

    def _ask_for_a_turn(self) -> None:
        if not self._due:
            self._due = True
            self._thread.do(self._turn)

    def _turn(self) -> Generator[Event]:
        """Do as many runs as there is time for: as long as the pause before, up to the longest turn.

        In a thread of its own the next turn follows at once.
        """
        self._due = False
        now = self._environment.now
        until = now + min(now - self._ended, LONGEST_TURN)
        while self._active:
            seconds, ended = step(self._active, self._times, self._limits)
            yield self._cores.work(seconds)
            over = set(map(id, ended))
            self._active = [test for test in self._active if id(test) not in over]
            for test in ended:
                if test.done is not None:
                    test.done.succeed()
            if self._environment.now >= until:
                break
        self._ended = self._environment.now
        if self._active:
            self._ask_for_a_turn()
