"""Results of a store's servers: a table of rates, a table of ratios, and the figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from benchmarks.figures import Figure
from benchmarks.rounds import Measured, Rounds, Spread, ratio
from benchmarks.sections import Section, Table, held
from benchmarks.serving.public_servers import SERVERS
from benchmarks.subjects import ServedStore

_NAI, _RETRAINED, _LARGE = "mnist-lenet", "mnist-lenet-retrained", "resnet20"
"""Names of the stores with targets, and a part of the name of another.

The other store has the target on inference.
"""

_INFERENCE = 85.0


class Names(StrEnum):
    """Contenders that every store has."""

    ENGINE = "engine alone, 32 in flight"
    SESSIONS = "a session a mutant, one image at a time"
    REMEMBERING = "mutant-guard, a million queries remembered"
    GUARDED = "mutant-guard"
    OFF = "mutant-guard, guard=off"
    GUARDED_ALONE = "mutant-guard, one client"
    OFF_ALONE = "mutant-guard, guard=off, one client"
    SESSIONS_HTTP = "FastAPI, a session a mutant"
    EAGER = "FastAPI, eager torch, same test"
    EAGER_PAPER = "FastAPI, eager torch, the paper's test"


@dataclass(frozen=True)
class Comparison:
    """Comparison of one contender with another.

    Attributes:
        title: name of the comparison in a table.
        figure: rest of its figure's name.
        ours: contender that is compared.
        theirs: contender whose value it is divided by.
        targets: target by name of the store.
        latency: whether median latencies are compared, which should stay below the target, instead
            of rates.
    """

    title: str
    figure: str
    ours: str
    theirs: str
    targets: Mapping[str, float] = field(default_factory=dict)
    latency: bool = False

    def of(self, rounds: Rounds) -> Spread:
        """Return the ratio of every round."""
        name = "p50" if self.latency else "rate"
        return ratio(_spread(rounds[self.ours], name), _spread(rounds[self.theirs], name))


_AGAINST_PUBLIC = {("guarded", "mlserver_no_workers"): {_NAI: 1.1, _RETRAINED: 1.2}}
"""Targets against public servers, by what is compared and the server's key."""

_COMPARISONS = [
    Comparison(
        "engine alone against a session a mutant",
        "engine_vs_sessions",
        Names.ENGINE,
        Names.SESSIONS,
        {_NAI: 5.0},
    ),
    Comparison(
        "the same over HTTP",
        "http_vs_sessions",
        Names.GUARDED,
        Names.SESSIONS_HTTP,
        {_NAI: 3.0, _RETRAINED: 1.1},
    ),
    Comparison(
        "against the paper's way over HTTP",
        "http_vs_paper",
        Names.GUARDED,
        Names.EAGER_PAPER,
        {_NAI: 20.0},
    ),
    Comparison("against eager torch with the same test", "http_vs_eager", Names.GUARDED, Names.EAGER),
    Comparison(
        "throughput against guard=off",
        "guarded_vs_off",
        Names.GUARDED,
        Names.OFF,
        {_NAI: 0.7, _RETRAINED: 0.85},
    ),
    Comparison(
        "throughput with queries remembered",
        "remembering_vs_not",
        Names.REMEMBERING,
        Names.GUARDED,
        {_NAI: 0.93},
    ),
    Comparison(
        "median latency of one client against guard=off",
        "latency_vs_off",
        Names.GUARDED_ALONE,
        Names.OFF_ALONE,
        {_NAI: 1.5, _RETRAINED: 1.25},
        latency=True,
    ),
    *(
        Comparison(
            f"{title} against {server.title}",
            f"{key}_vs_{server.key}",
            name,
            server.title,
            _AGAINST_PUBLIC.get((key, server.key), {}),
        )
        for server in SERVERS
        for title, key, name in (("guarded", "guarded", Names.GUARDED), ("guard=off", "off", Names.OFF))
    ),
]

_NOTES = [
    "Rates and ratios are medians of the rounds with the least and the greatest in brackets; a ratio is taken within "
    "each round. All servers stay up; each is measured in turn while the others are paused, by a client in a process "
    "of its own on the same machine. One client: one request at a time; else 32 connections, 4 to eager torch.",
    "The alternatives answer with the same labels and verdicts, checked on the images posted before anything is "
    "measured. The paper's way has the paper's test on eager torch modules, mutants one by one, which needs more "
    "mutants; a target for it is for that. The row beneath gives the same modules our test.",
    "Queries are remembered for a second, less than the images take to come again: each is compared and entered as a "
    "new one, and none is a repeat.",
]


def section(subject: ServedStore, rounds: Rounds, notes: Sequence[str]) -> Section:
    """Return tables and figures of one store."""
    ratios: list[list[str]] = []
    figures: list[Figure] = []
    for comparison in _COMPARISONS:
        if comparison.ours in rounds and comparison.theirs in rounds:
            found = comparison.of(rounds)
            target = comparison.targets.get(subject.store.name)
            figure = Figure(
                f"{subject.key}_{comparison.figure}", found.median, "x", target, at_most=comparison.latency
            )
            figures.append(figure)
            ratios.append([comparison.title, found.shown(), held(figure)])
    for figure, shown in _inference(subject, rounds):
        figures.append(figure)
        ratios.append(["share of the time in onnxruntime", shown, held(figure)])
    name = subject.store.name
    tables = [
        Table(f"{name}: servers", ["", "answers a second", "p50 ms", "p99 ms"], _rates(rounds), list(notes)),
        Table(f"{name}: ratios", ["", "median (least–most)", ""], ratios, _NOTES),
    ]
    return Section(f"Serving {name}", tables, figures)


def _rates(rounds: Rounds) -> list[list[str]]:
    rows = []
    for name, measured in rounds.items():
        timed = any(found.p50 for found in measured)
        times = [_spread(measured, quantile).shown(1000) if timed else "" for quantile in ("p50", "p99")]
        rows.append([name, _spread(measured, "rate").shown(), *times])
    return rows


def _inference(subject: ServedStore, rounds: Rounds) -> list[tuple[Figure, str]]:
    """Return the share of inference and its text; nothing where the server does not report it."""
    shares = [found.inference for found in rounds[Names.GUARDED] if found.inference is not None]
    if not shares:
        return []
    found = Spread(tuple(100 * share for share in shares))
    target = _INFERENCE if _LARGE in subject.store.name else None
    return [(Figure(f"{subject.key}_inference_share", found.median, "%", target), found.shown())]


def _spread(measured: Sequence[Measured], name: str) -> Spread:
    return Spread(tuple(getattr(found, name) for found in measured))
