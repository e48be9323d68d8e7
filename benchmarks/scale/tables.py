"""Tables of what a rate takes and costs."""

from collections.abc import Mapping, Sequence

from benchmarks.figures import Figure, milliseconds, quantity
from benchmarks.scale.measured import Measured
from benchmarks.scale.model.choice import CHOICES
from benchmarks.scale.proxy import Deployed
from benchmarks.scale.redis_cost import REVIEW
from benchmarks.scale.service_times import Work
from benchmarks.scale.sizing import (
    BITS,
    BURST,
    FULL,
    GROUP,
    RATES,
    Assumptions,
    Sizes,
    cores,
    needs,
    with_redis,
)
from benchmarks.sections import Table

_MILLION = 1_000_000
_HOUR, _DAY = 3600, 86_400
_QUEUE_ENTRIES = 1000
"""Entries of the review queue (``GUARD_REVIEW_ENTRIES``)."""


def service(measured: Sequence[Measured]) -> Table:
    """Return the measured service times."""
    rows = []
    for found in measured:
        times, run = found.times, found.times.run
        rows.append(
            [
                found.name,
                *(micro(part.work) for part in (times.client, times.proxy, times.http)),
                *(_waking(part) for part in (times.client, times.proxy, times.http)),
                micro(times.decode),
                " + ".join(
                    (
                        micro(run.run),
                        *(f"{micro(part)} {name}" for name, part in _parts(run.fresh, run.request, run.row)),
                    )
                ),
                micro(times.hop),
                "takes turns" if times.takes_turns else "own thread",
            ]
        )
    head = [
        "µs",
        "client",
        "proxy",
        "event loop",
        "wake: client",
        "proxy",
        "event loop",
        "decoding",
        "a run",
        "hop",
        "engine",
    ]
    notes = [
        "Processor time of one request in each process while it has more to do; the wake comes on top for each time "
        "that a request finds it asleep, from the first to the second as it has slept for longer. A run is one of the "
        "engine's, on one thread. Decoding is 0 where the event loop does it, and is in its time then.",
    ]
    return Table("Service times", head, rows, notes)


def _waking(part: Work) -> str:
    return f"{micro(part.wake)} to {micro(part.wake + part.cold)}"


def _parts(fresh: float, request: float, row: float) -> list[tuple[str, float]]:
    return [("a new image", fresh), ("an image", request), ("a row", row)]


def micro(seconds: float) -> str:
    """Return seconds as a number of microseconds."""
    return quantity(1e6 * seconds, "")


def utilisation(name: str, sizes: Sizes, assumptions: Assumptions) -> tuple[Table, list[Figure]]:
    """Return simulated latencies of a store by utilisation."""
    balance = Deployed.read().balance
    rows = [
        [
            f"{load.utilisation:.0%}",
            f"{load.utilisation * sizes.capacity:,.0f}",
            milliseconds(load.latencies[balance].p50),
            *(milliseconds(load.latencies[name].p99) for name in CHOICES),
            milliseconds(load.bursts.p99),
            f"{load.refused:,}" if load.refused else "",
        ]
        for load in sizes.loads
    ]
    key = name.replace("-", "_")
    figures = [
        Figure(f"scale_{key}_capacity", sizes.capacity, ""),
        Figure(f"scale_{key}_utilisation", 100 * sizes.best, "%"),
    ]
    notes = [
        f"{GROUP} replicas behind a proxy, each thread on a core of its own. `{balance}` is what "
        f"deploy/proxy/haproxy.cfg has. Capacity: {sizes.capacity:,.0f} requests a second of a replica. Highest "
        f"utilisation with a p99 of at most {assumptions.p99_ms:g} ms: {sizes.best:.0%}.",
    ]
    head = ["utilisation", "a replica, requests a second", f"p50 ms, {balance}"]
    head += [*(f"p99 ms, {one}" for one in CHOICES), f"p99 ms, bursts of {BURST}", "refused"]
    return Table(f"{name}: latency against utilisation", head, rows, notes), figures


def sizes(
    measured: Sequence[Measured], found: Mapping[str, Sizes], assumptions: Assumptions
) -> tuple[Table, list[Figure]]:
    """Return what every rate takes."""
    rows, figures = [], []
    for one in measured:
        for rate in RATES:
            if not found[one.name].best:
                rows.append([one.name, f"{rate:,}", *["none keeps the objective"], *[""] * 6])
                continue
            need = needs(one, found[one.name], rate, assumptions)
            rows.append(
                [
                    one.name,
                    f"{rate:,}",
                    f"{need.replicas:,}",
                    f"{need.cores:,}",
                    f"{need.proxies:,} ({need.proxies_by})",
                    f"{need.redis:,.0f}" if one.redis else "",
                    f"{need.shards:,}" if one.redis else "",
                    f"{need.gbit:,.3g}",
                    f"{need.gbit / (assumptions.gbit * FULL):,.2g}",
                ]
            )
            key = one.name.replace("-", "_")
            figures.append(Figure(f"scale_{key}_replicas_{rate}", need.replicas, ""))
    deployed = Deployed.read()
    notes = [
        f"Replicas = ⌈rate ÷ (utilisation · capacity)⌉, times {assumptions.domains} ÷ {assumptions.domains - 1}, so "
        f"that the rest keeps the objective when one of {assumptions.domains} failure domains is gone. A replica whose "
        f"engine has a thread of its own has two cores. A proxy has {deployed.threads} threads and at most "
        f"{deployed.replicas} replicas; which of the two its number is for is in brackets. Proxies, Redis servers and "
        f"networks of {assumptions.gbit:g} Gbit/s are used up to {FULL:.0%}. Redis keeps verdicts alone.",
    ]
    head = [
        "store",
        "requests a second",
        "replicas",
        "their cores",
        "proxies",
        "Redis calls a second",
        "Redis servers",
    ]
    head += ["Gbit/s of images and answers", "networks"]
    return Table("What a rate takes", head, rows, notes), figures


def limits(measured: Sequence[Measured], found: Mapping[str, Sizes], assumptions: Assumptions) -> Table:
    """Return the requests a second that one of each part takes at most, the least first."""
    rows = []
    deployed = Deployed.read()
    for one in measured:
        bits = BITS * (one.request_bytes + one.answer_bytes)
        parts = {
            f"a replica ({cores(one)} core{'s' * (cores(one) > 1)})": found[one.name].capacity,
            f"a proxy ({deployed.threads} threads)": deployed.threads / one.proxy,
            f"a network of {assumptions.gbit:g} Gbit/s": assumptions.gbit * 1e9 / bits,
            **{
                f"a Redis: {use.name}": 1 / use.redis
                for use in one.redis
                if use.name != REVIEW.name and use.redis
            },
        }
        for part, most in sorted(parts.items(), key=lambda item: item[1]):
            rows.append([one.name, part, f"{most:,.0f}", f"{most / found[one.name].capacity:,.1f}"])
    notes = ["The last column is how many replicas feed one of the part."]
    return Table(
        "What saturates first", ["store", "one of", "requests a second at most", "replicas"], rows, notes
    )


def redis(measured: Sequence[Measured], assumptions: Assumptions, quick: bool) -> Table:
    """Return what the uses of Redis cost a request, measured, and a group that makes them, simulated."""
    rows = []
    for one in measured:
        for use in one.redis:
            if use.name == REVIEW.name:
                rows.append(
                    [one.name, use.name, "1", micro(use.redis), "", quantity(use.bytes, ""), *[""] * 4]
                )
                continue
            own, latencies = with_redis(one, use, assumptions, quick)
            rows.append(
                [
                    one.name,
                    use.name,
                    f"{use.before + use.after}",
                    micro(use.redis),
                    micro(max(0.0, use.replica - one.replica)),
                    quantity(use.bytes, ""),
                    f"{use.rate:,.0f}",
                    f"{own:,.0f}",
                    milliseconds(latencies.p50),
                    milliseconds(latencies.p99),
                ]
            )
    head = ["store", "use", "calls", "Redis, µs", "a replica, µs", "bytes", "a replica, answers a second"]
    head += ["simulated", f"p50 ms at {FULL:.0%}", f"p99 ms at {FULL:.0%}"]
    notes = [
        "A real redis-server and one replica under load; time of a replica is what it takes more than without Redis. "
        "Nothing is found: every verdict is computed and put there. Simulated: each thread on a core of its own, and "
        f"{assumptions.round_trip_ms:g} ms to Redis and back.",
    ]
    return Table("Redis: cost of a request", head, rows, notes)


def review(measured: Sequence[Measured]) -> Table:
    """Return how alarms on clean images fill the review queue."""
    rows = []
    for one in measured:
        entry = next((use.redis for use in one.redis if use.name == REVIEW.name), None)
        for rate in RATES:
            alarms = rate * one.alarms
            rows.append(
                [
                    one.name,
                    f"{rate:,}",
                    f"{one.alarms:.2%}",
                    f"{alarms:,.0f}",
                    f"{alarms * _DAY:,.3g}",
                    f"{_QUEUE_ENTRIES / alarms:,.2g}" if alarms else "",
                    f"{alarms * entry:.2g}" if entry is not None else "",
                ]
            )
    head = ["store", "requests a second", "alarms on clean images", "alarms a second", "a day"]
    head += [f"seconds until {_QUEUE_ENTRIES:,} newer ones", "cores of Redis for the queue"]
    notes = [
        "Alarms are those that the calibration expects of clean images. Images that come again raise none anew while "
        "the cache has their verdict."
    ]
    return Table("Alarms and the review queue", head, rows, notes)


def costs(
    measured: Sequence[Measured], found: Mapping[str, Sizes], assumptions: Assumptions
) -> tuple[Table, list[Figure]]:
    """Return processor time and money for a million images."""
    rows, figures = [], []
    price, rate = assumptions.core_hour, RATES[1]
    for one in measured:
        calls = next(iter(one.redis), None)
        parts = [one.replica, one.proxy, calls.redis if calls else 0.0]
        busy = _MILLION * sum(parts)
        row = [one.name, *(quantity(_MILLION * part, "") for part in parts), f"{price * busy / _HOUR:.3g}"]
        if found[one.name].best:
            given = needs(one, found[one.name], rate, assumptions).cores / rate * _MILLION
            row += [quantity(given, ""), f"{price * given / _HOUR:.3g}"]
        else:
            row += ["", ""]
        rows.append(row)
        figures.append(Figure(f"scale_{one.name.replace('-', '_')}_processor_seconds", busy, "s"))
    notes = [
        f"A core costs {price:g} an hour; replace it by yours (`--core-hour`). Given: the cores of the replicas at "
        f"{rate:,} requests a second, idle time and the spare failure domain included.",
    ]
    head = [
        "store",
        "replica, core-seconds",
        "proxy",
        "Redis (verdicts)",
        "money, busy cores",
        "given, core-seconds",
        "money, given cores",
    ]
    return Table("Cost of a million images", head, rows, notes), figures
