"""Many mutants of one image: the bank against the mutants one by one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from benchmarks.agreement import check_agreement
from benchmarks.bank import eager
from benchmarks.bank.networks import load_network
from benchmarks.bank.pools import Pool, draw_pool
from benchmarks.figures import Figure, milliseconds
from benchmarks.interleave import Contender, Timing, fastest, interleaved
from benchmarks.sections import Section, Table, held
from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.cores import available_cores
from mutant_guard.bank.session import IMAGES, open_session
from mutant_store.bank.verify import spread

MUTANTS = 200

_REPETITIONS = {"lenet": 31, "resnet20": 9}
_QUICK = 3
_CHECKED_MUTANTS, _CHECKED_IMAGES = 8, 4
_OURS, _EAGER, _FOLDED, _SESSIONS, _BESIDE = "bank", "eager", "folded eager", "sessions", "side by side"
_OPERATORS = ("nai", "ns", "gf", "ws")


@dataclass(frozen=True)
class _Targets:
    eager: float
    sessions: float | None = None


_SHARED = {"lenet": _Targets(20, 6), "resnet20": _Targets(8, 1.6)}
_OWN = {"lenet": _Targets(5), "resnet20": _Targets(4)}


def measure(quick: bool, say: Callable[[str], None]) -> Section:
    """Time every operator on LeNet and ResNet-20.

    Raises:
        DisagreementError: the alternatives do not compute the same.
    """
    rows, figures, notes = [], [], []
    for name in ("lenet", "resnet20"):
        network = load_network(name)
        notes += [network.note] if network.note else []
        for operator in _OPERATORS:
            say(f"{MUTANTS} mutants of one image: {network.title}, {operator}")
            pool = draw_pool(network, operator, MUTANTS)
            timings = _race(pool, _QUICK if quick else _REPETITIONS[name])
            found = _figures(pool, timings)
            figures += found
            rows += _rows(pool, timings, found)
    columns = ["", "rate", "bank", "eager", "", "sessions", "", "side by side", ""]
    table = Table(
        f"{MUTANTS} mutants of one image, milliseconds",
        columns,
        rows,
        [
            "bank: ours. eager: torch modules one by one. sessions: one ONNX Runtime session a mutant, one by one; "
            "side by side: the same with a thread a core, each running its share of the sessions.",
            f"eager and sessions: the faster of 1 thread and {available_cores()}, in brackets.",
            *notes,
        ],
    )
    return Section("Mutants", [table], figures)


def _race(pool: Pool, repetitions: int) -> dict[str, Timing]:
    """Check that all contenders compute the same, then time them in turn."""
    network, cores = pool.network, available_cores()
    folded = eager.folded(network.module)
    sources = {_EAGER: network.module, _FOLDED: folded} if pool.operator == "nai" else {_EAGER: folded}
    modules = {
        name: [eager.mutated(source, mutant) for mutant in pool.mutants] for name, source in sources.items()
    }
    session = pool.bank.session()
    checked = spread(MUTANTS, _CHECKED_MUTANTS)[1:]
    for mutants in modules.values():
        chosen = [mutants[number - 1] for number in checked]
        check_agreement(session, chosen, checked, network.inputs[:_CHECKED_IMAGES])
    models = [
        pool.stand_alone.model(number, original_names=False).SerializeToString()
        for number in range(1, MUTANTS + 1)
    ]
    image = network.inputs[:1]
    contenders: dict[str, Contender] = {_OURS: lambda: bank_scores(session, image, MUTANTS)}
    for name, mutants in modules.items():
        for threads in _threads():
            contenders[f"{name} {threads}"] = _eager_run(mutants, image, threads)
    opened = {threads: [open_session(model, threads=threads) for model in models] for threads in _threads()}
    for threads, sessions in opened.items():
        contenders[f"{_SESSIONS} {threads}"] = _sessions_run(sessions, image)
    with ThreadPoolExecutor(cores) as workers:
        contenders[_BESIDE] = _beside_run(opened[1], image, workers, cores)
        timings = interleaved(contenders, repetitions)
    session.close()
    torch.set_num_threads(cores)
    return timings


def bank_scores(session: BankSession, image: NDArray[np.float32], mutants: int) -> NDArray[np.float32]:
    """Return class scores float32 [M, classes] of one image float32 [1, …] for mutants 1 to M."""
    rows = np.zeros(mutants, dtype=np.int64)
    return session.scores(session.features(image), rows, np.arange(1, mutants + 1))


def _eager_run(modules: list[torch.nn.Module], image: NDArray[np.float32], threads: int) -> Contender:
    tensor = torch.from_numpy(image)
    return lambda: eager.scores(modules, tensor, threads)


def _sessions_run(
    sessions: list[onnxruntime.InferenceSession], image: NDArray[np.float32]
) -> Callable[[], list[NDArray[np.float32]]]:
    return lambda: [session.run(None, {IMAGES: image})[0] for session in sessions]


def _beside_run(
    sessions: list[onnxruntime.InferenceSession],
    image: NDArray[np.float32],
    workers: ThreadPoolExecutor,
    cores: int,
) -> Contender:
    shares = [_sessions_run(sessions[start::cores], image) for start in range(cores)]
    return lambda: list(workers.map(lambda share: share(), shares))


def _threads() -> list[int]:
    return sorted({1, available_cores()})


def _figures(pool: Pool, timings: dict[str, Timing]) -> list[Figure]:
    ours = timings[_OURS].median
    name = pool.network.name
    targets = (_SHARED if pool.operator in ("nai", "ns") else _OWN)[name]

    def ratio(prefix: str) -> float:
        return timings[fastest(timings, prefix)].median / ours

    figures = [
        Figure(f"{pool.key}_vs_eager", ratio(_EAGER), "x", targets.eager),
        Figure(f"{pool.key}_vs_sessions", ratio(_SESSIONS), "x", targets.sessions),
        Figure(f"{pool.key}_vs_sessions_side_by_side", ratio(_BESIDE), "x"),
    ]
    if pool.operator == "nai":
        figures.append(Figure(f"{pool.key}_vs_folded_eager", ratio(_FOLDED), "x"))
    return figures


def _rows(pool: Pool, timings: dict[str, Timing], figures: list[Figure]) -> list[list[str]]:
    """Return the pool's row, and one for folded eager mutants where it has a figure for them."""
    ours = milliseconds(timings[_OURS].median)
    start = [f"{pool.network.title} {pool.operator}", f"{pool.rate:g}", ours]
    rows = [start + _cells(timings, dict(zip((_EAGER, _SESSIONS, _BESIDE), figures, strict=False)))]
    if len(figures) > 3:
        rows.append([f"{start[0]}, folded", *start[1:], *_cells(timings, {_FOLDED: figures[3]}), *[""] * 4])
    return rows


def _cells(timings: dict[str, Timing], figures: dict[str, Figure]) -> list[str]:
    cells = []
    for prefix, figure in figures.items():
        best = fastest(timings, prefix)
        threads = best.removeprefix(prefix).strip()
        shown = milliseconds(timings[best].median)
        cells += [f"{shown} [{threads}]" if threads else shown, held(figure)]
    return cells
