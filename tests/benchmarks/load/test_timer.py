import asyncio
from time import perf_counter

import pytest
import uvloop

from benchmarks.load.timer import Timer

pytestmark = pytest.mark.timing


async def late(gaps: list[float]) -> list[float]:
    found = []
    with Timer() as timer:
        for gap in gaps:
            due = perf_counter() + gap
            await timer.until(due)
            found.append(perf_counter() - due)
    return found


def test_a_timer_is_right_to_less_than_a_millisecond() -> None:
    for factory in (uvloop.new_event_loop, asyncio.new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            found = runner.run(late([0.0003, 0.0016, 0.0, -1.0] * 25))
        assert min(found) >= 0
        assert min(found[::4]) < 0.0004, "of 25 waits some are not disturbed by others"
        assert min(found[1::4]) < 0.0004
