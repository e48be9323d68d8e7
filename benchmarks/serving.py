"""The server under load against what people would write instead, and against itself without its guard."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import engine_alone, over_http, rounds
from benchmarks.engine_alone import IN_FLIGHT
from benchmarks.figures import Figure
from benchmarks.rounds import Contender, Measured, Rounds, Spread, medians, rates, ratio
from benchmarks.sections import Section, Table, held
from benchmarks.subjects import POLICY, Subject

STORES = [Path("stores/mnist-lenet"), Path("stores/mnist-lenet-retrained"), Path("stores/cifar10-resnet20")]

_ROUNDS, _SECONDS, _WARM_UP = 7, 3.0, 1.0
_QUICK_ROUNDS, _QUICK_SECONDS, _QUICK_WARM_UP = 2, 1.0, 0.5

_ENGINE, _SESSIONS = "engine, 32 in flight", "session a mutant, one at a time"
_GUARDED, _OFF = "mutant-guard", "mutant-guard, guard=off"
_GUARDED_ALONE, _OFF_ALONE = "mutant-guard, one client", "mutant-guard, guard=off, one client"
_SESSIONS_HTTP = "FastAPI, session a mutant"


def measure(stores: Sequence[Path], data: Path, quick: bool, say: Callable[[str], None]) -> list[Section]:
    """Every row, a section a store."""
    return [_measured(Subject.of(path, data), quick, say) for path in stores]


def _measured(subject: Subject, quick: bool, say: Callable[[str], None]) -> Section:
    with ExitStack() as stack:
        contenders: dict[str, Contender] = {}
        say(f"{subject.store.name}: engine and sessions in this process")
        contenders[_ENGINE] = _rated(stack.enter_context(engine_alone.engine(subject)))
        contenders[_SESSIONS] = _rated(stack.enter_context(engine_alone.sessions(subject, 1)))
        say(f"{subject.store.name}: starting servers")
        server = stack.enter_context(over_http.ours(subject))
        for name, connections, path in (
            (_GUARDED, IN_FLIGHT, "/classify"),
            (_OFF, IN_FLIGHT, "/classify?guard=off"),
            (_GUARDED_ALONE, 1, "/classify"),
            (_OFF_ALONE, 1, "/classify?guard=off"),
        ):
            contenders[name] = over_http.contender(server, subject.bodies, connections, path)
        other = stack.enter_context(over_http.alternative(subject, "sessions", policy=POLICY, threads=1))
        contenders[_SESSIONS_HTTP] = over_http.contender(other, subject.bodies, IN_FLIGHT)
        say(f"{subject.store.name}: measuring {len(contenders)} contenders in turn")
        found = rounds.in_rounds(
            contenders,
            _QUICK_ROUNDS if quick else _ROUNDS,
            _QUICK_SECONDS if quick else _SECONDS,
            warm_up=_QUICK_WARM_UP if quick else _WARM_UP,
        )
    return _section(subject, found)


def _rated(rate: Callable[[float], float]) -> Contender:
    return lambda seconds: Measured(rate(seconds))


def _section(subject: Subject, found: Rounds) -> Section:
    rows = []
    for name, measured in found.items():
        latencies = [Spread(tuple(getattr(each, p) for each in measured)).shown(1000) for p in ("p50", "p99")]
        rows.append([name, rates(found, name).shown(), *(latencies if measured[0].p50 else ["", ""])])
    ratios: list[tuple[str, Spread, Figure]] = []

    def compare(title: str, name: str, value: Spread, target: float | None, *, at_most: bool = False) -> None:
        figure = Figure(f"{subject.key}_{name}", value.median, "x", target, at_most=at_most)
        ratios.append((title, value, figure))

    compare(
        "engine against sessions",
        "engine_vs_sessions",
        ratio(rates(found, _ENGINE), rates(found, _SESSIONS)),
        5.0,
    )
    compare(
        "the same over HTTP",
        "http_vs_sessions",
        ratio(rates(found, _GUARDED), rates(found, _SESSIONS_HTTP)),
        2.5,
    )
    compare(
        "guarded against guard=off", "guarded_vs_off", ratio(rates(found, _GUARDED), rates(found, _OFF)), 0.5
    )
    compare(
        "median latency, guarded against off",
        "latency_vs_off",
        ratio(medians(found, _GUARDED_ALONE), medians(found, _OFF_ALONE)),
        2.5,
        at_most=True,
    )
    tables = [
        Table(f"{subject.store.name}: a second", ["", "answers a second", "p50 ms", "p99 ms"], rows),
        Table(
            f"{subject.store.name}: ratios",
            ["", "median (least–most)", ""],
            [[title, value.shown(), held(figure)] for title, value, figure in ratios],
        ),
    ]
    return Section(f"Serving {subject.store.name}", tables, [figure for _, _, figure in ratios])


def data_folder() -> Path:
    """Where ``mnist`` and ``cifar10`` are, unless told otherwise."""
    return Path(os.environ.get("GUARD_DATA_DIR") or "../shared/data")
