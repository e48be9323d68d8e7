"""``python -m benchmarks.load``: a plan from standard input, carried out and reported."""

import asyncio
import sys

import uvloop

from benchmarks.load.loops import run
from benchmarks.load.plan import Plan


def main() -> None:
    """Carry out the plan of standard input and write the report; both are JSON."""
    plan = Plan.from_json(sys.stdin.read())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(runner.run(run(plan)).json())


if __name__ == "__main__":
    main()
