"""Ways in which a proxy chooses the replica of a request."""

import itertools
from collections.abc import Callable, Sequence

Choice = Callable[[Sequence[int]], int]
"""Function that takes the number of requests at every replica and returns the position of one."""


def round_robin() -> Choice:
    """Return haproxy's ``roundrobin``: one after the other."""
    turn = itertools.count()
    return lambda under_way: next(turn) % len(under_way)


def least_connections() -> Choice:
    """Return haproxy's ``leastconn``: the fewest requests, and among equals one after the other."""
    last = -1

    def choose(under_way: Sequence[int]) -> int:
        nonlocal last
        count = len(under_way)
        last = min(range(count), key=lambda place: (under_way[place], (place - last - 1) % count))
        return last

    return choose


CHOICES: dict[str, Callable[[], Choice]] = {"roundrobin": round_robin, "leastconn": least_connections}
"""Ways by haproxy's names for them (``balance``)."""
