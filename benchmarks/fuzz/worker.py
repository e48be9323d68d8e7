"""``python -m benchmarks.fuzz.worker PLAN FLAGS CORPUS``: one process of atheris.

Atheris is libFuzzer for Python, https://github.com/google/atheris. The process ends in the middle
of a call when it has made its executions, so its tally is written before.
"""

import sys
import warnings
from pathlib import Path
from random import Random
from time import perf_counter

import atheris
import structlog

with atheris.instrument_imports(
    include=[
        "service",
        "mutant_guard.store.preprocessing",
        "PIL",
        "python_multipart",
        "starlette.formparsers",
    ]
):
    from benchmarks.fuzz.application import Application
    from benchmarks.fuzz.asks import Ask, drawing
from benchmarks.fuzz.plan import Plan
from benchmarks.fuzz.tally import Tally, keep

_AGAIN = 10
_EVERY = 500
"""Number of requests between two writes of the tally."""


class Fuzzer:
    """Client of an application for the requests that libFuzzer makes."""

    def __init__(self, plan: Plan, application: Application) -> None:
        """Prepare the client.

        Args:
            plan: task of the process.
            application: application to ask.
        """
        self._plan, self._application = plan, application
        self._tally, self._started = Tally(), perf_counter()

    def ask(self, data: bytes) -> None:
        """Ask the application once, and count what comes of it."""
        ask, tally, plan = Ask.read(data), self._tally, self._plan
        request = ask.request(self._application.stores)
        outcome = self._application.ask(request)
        tally.executions += 1
        tally.statuses[f"{ask.route.name} {outcome.status}"] += 1
        tally.pixels = max(tally.pixels, outcome.pixels)
        tally.memory = max(tally.memory, outcome.memory)
        if outcome.fault:
            tally.blame(outcome.fault, data, plan.findings)
        if outcome.memory > plan.most_memory:
            tally.blame("took more memory than its limits allow", data, plan.findings)
        if outcome.held > tally.held:
            # The machine also does other work: the request is asked again, and the shortest time
            # counts.
            held = min(outcome.held, *(self._application.ask(request).held for _ in range(_AGAIN)))
            if held > tally.held:
                tally.held, tally.held_by = held, keep(data, plan.folder / "slowest")
            if held > plan.most_held:
                tally.blame(f"held the event loop for more than {plan.most_held:g} s", data, plan.findings)
        if tally.executions % _EVERY == 0 or tally.executions == plan.executions:
            tally.seconds = perf_counter() - self._started
            tally.write(plan.tally)

    @staticmethod
    def mutate(data: bytes, most: int, seed: int) -> bytes:
        """Return a request similar to one that reached something new."""

        def scrambled(content: bytes, random: Random) -> bytes:
            return (
                bytes(atheris.Mutate(content[:most], most)) if random.random() < 0.8 and content else content
            )

        return Ask.read(data).mutated(drawing(seed), scrambled).written()[:most]


def main() -> None:
    """Fuzz as a plan says."""
    plan = Plan.read(Path(sys.argv[1]))
    warnings.simplefilter("ignore")
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    limits = {"max_pixels": plan.max_pixels, "max_body_bytes": plan.max_body_bytes}
    with Application(plan.stores, **limits) as application:
        fuzzer = Fuzzer(plan, application)
        atheris.Setup([sys.argv[0], *sys.argv[2:]], fuzzer.ask, custom_mutator=fuzzer.mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
