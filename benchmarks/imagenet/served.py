"""Guarded against unguarded answers over HTTP, and both against onnxruntime alone."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, milliseconds
from benchmarks.imagenet import alone
from benchmarks.imagenet.builds import PAIRS, Pair
from benchmarks.rounds import Contender, Measured, Rounds, Spread, in_rounds, ratio
from benchmarks.sections import Section, Table, held
from benchmarks.serving import same_verdicts
from benchmarks.serving.over_http import contender
from benchmarks.serving.vitals import resident
from evaluation.imagenet.classifiers import PublishedClassifier
from evaluation.server import ORDER_KEY, Server, serving
from mutant_guard.bank.cores import available_cores

_POLICY = "calibrated"
_CLIENTS = 8
_ROUNDS, _SECONDS, _WARM_UP = 5, 6.0, 2.0
_QUICK_ROUNDS, _QUICK_SECONDS, _QUICK_WARM_UP = 2, 3.0, 1.0
_RATIOS = {PAIRS[0]: 2.7, PAIRS[1]: 1.7}
_ALONE, _AGREEMENT, _MEGABYTES = 0.9, 99.5, 800.0
_JPEG, _OFF = "image/jpeg", "/classify?guard=off"
_GUARDED, _BARE = "guarded", "unguarded"


@dataclass(frozen=True)
class _Names:
    """Names of the contenders of one store."""

    pair: Pair

    def of(self, kind: str, clients: int) -> str:
        return f"{self.pair.name}: {kind}, {'one client' if clients == 1 else f'{clients} clients'}"


def measure(
    stores: Mapping[Pair, Path],
    models: Path,
    photographs: Sequence[bytes],
    tested: Sequence[bytes],
    quick: bool,
    say: Callable[[str], None],
) -> Section:
    """Measure every store.

    Args:
        stores: directories of the stores.
        models: folder of the exported classifiers.
        photographs: all JPEG files, for the comparison of labels.
        tested: those that no store was built with, for everything else.
        quick: whether rounds are few and short.
        say: callback that is told what is going on.

    Raises:
        GuardError: a server did not start or did not answer.
    """
    figures: list[Figure] = []
    rows: list[list[str]] = []
    notes: list[str] = []
    for pair, path in stores.items():
        say(f"serving {pair.name}")
        with ExitStack() as stack:
            server = stack.enter_context(_server(path))
            if pair == PAIRS[0]:
                figures.append(_agreement(server, pair, models, photographs, say))
            measured, threads = _race(server, pair, models, tested, quick, say)
            server.resume()
            figures += _figures(pair, measured, resident(server.process.pid))
            rows += _rows(measured)
            notes.append(
                f"{pair.name}: onnxruntime alone has sessions of {threads} threads, the faster of two ways."
            )
    notes += [f"{figure.name}: {held(figure)}" for figure in figures if figure.goal]
    head = ["contender", "images a second", "median latency, ms"]
    return Section("ImageNet: server", [Table("Answers over HTTP", head, rows, notes)], figures)


def _server(path: Path) -> AbstractContextManager[Server]:
    return serving(
        path,
        policy=_POLICY,
        order_key=ORDER_KEY,
        cache_seconds="0",
        allow_guard_off="true",
        drain_seconds="0",
        log_format="json",
    )


def _agreement(
    server: Server, pair: Pair, models: Path, photographs: Sequence[bytes], say: Callable[[str], None]
) -> Figure:
    say(f"labels of {len(photographs):,} photographs over HTTP and by the usual pipeline")
    answered = same_verdicts.answers(server, photographs, _OFF, _JPEG)
    pipeline = _pipeline(pair.original, models, available_cores())
    same = sum(
        answer["label"] == pipeline.label(body) for answer, body in zip(answered, photographs, strict=True)
    )
    return Figure("labels_over_http", 100 * same / len(photographs), "%", _AGREEMENT)


def _pipeline(name: str, models: Path, threads: int) -> alone.UsualPipeline:
    return alone.UsualPipeline(PublishedClassifier.named(name), models / f"{name}.onnx", threads)


def _race(
    server: Server, pair: Pair, models: Path, bodies: Sequence[bytes], quick: bool, say: Callable[[str], None]
) -> tuple[Rounds, int]:
    names = _Names(pair)
    seconds = _QUICK_SECONDS if quick else _SECONDS
    contenders: dict[str, Contender] = {}
    for clients in (1, _CLIENTS):
        contenders[names.of(_GUARDED, clients)] = contender(server, bodies, clients, content_type=_JPEG)
        contenders[names.of(_BARE, clients)] = contender(server, bodies, clients, _OFF, _JPEG)
    server.pause()
    say("choosing threads of onnxruntime alone")
    several = [
        (PublishedClassifier.named(name), models / f"{name}.onnx")
        for name in (pair.original, *pair.companions)
    ]
    one, threads = alone.fastest(several[:1], bodies, _CLIENTS, available_cores(), seconds)
    both, _ = alone.fastest(several, bodies, _CLIENTS, available_cores(), seconds)
    contenders[names.of("onnxruntime alone", _CLIENTS)] = lambda limit: Measured(one(limit))
    contenders[names.of("onnxruntime alone, with companions", _CLIENTS)] = lambda limit: Measured(both(limit))
    say(f"measuring {len(contenders)} contenders in turn")
    rounds = _QUICK_ROUNDS if quick else _ROUNDS
    warm_up = _QUICK_WARM_UP if quick else _WARM_UP
    return in_rounds(contenders, rounds, seconds, warm_up=warm_up), threads


def _figures(pair: Pair, measured: Rounds, memory: int) -> list[Figure]:
    names, key = _Names(pair), pair.name.replace("-", "_")

    def rates(kind: str) -> Spread:
        return Spread(tuple(one.rate for one in measured[names.of(kind, _CLIENTS)]))

    def latencies(kind: str) -> Spread:
        return Spread(tuple(one.p50 for one in measured[names.of(kind, 1)]))

    slower = ratio(latencies(_GUARDED), latencies(_BARE)).median
    bare = ratio(rates(_BARE), rates("onnxruntime alone")).median
    guarded = ratio(rates(_GUARDED), rates("onnxruntime alone, with companions")).median
    targets = pair == PAIRS[0]
    return [
        Figure(f"latency_guarded_to_unguarded_{key}", slower, "x", _RATIOS[pair], at_most=True),
        Figure(f"unguarded_to_onnxruntime_{key}", bare, "x", _ALONE),
        Figure(f"guarded_to_onnxruntime_{key}", guarded, "x", _ALONE),
        Figure(f"server_memory_{key}", memory / 1e6, "MB", _MEGABYTES if targets else None, at_most=True),
    ]


def _rows(measured: Rounds) -> list[list[str]]:
    return [
        [
            name,
            Spread(tuple(one.rate for one in found)).shown(),
            milliseconds(Spread(tuple(one.p50 for one in found)).median) if found[0].p50 else "",
        ]
        for name, found in measured.items()
    ]
