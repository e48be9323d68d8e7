"""Mutants with all parameters of their own: the bank against two other ways to run them.

The other ways are one session whose weights are inputs, and one graph of all mutants.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.agreement import DisagreementError
from benchmarks.bank.networks import Network, load_network
from benchmarks.bank.pools import Pool
from benchmarks.bank.stacked import stack
from benchmarks.figures import Figure, milliseconds
from benchmarks.interleave import Contender, Timing, interleaved
from benchmarks.sections import Section, Table, held
from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.cores import available_cores
from mutant_guard.bank.pool import Mutant
from mutant_guard.bank.session import IMAGES, FloatArray, open_session
from mutant_store.bank.verify import TOLERANCE
from mutant_store.operators.retrain import Retrain

MUTANTS, IMAGE_COUNTS = (4, 8, 16, 32), (1, 8, 32)

_QUOTED = 8
"""Number of mutants in the pools that figures are made of; the tables have all pools."""
_ROWS = {"every": "every image under every mutant", "one": "every image under one mutant drawn at random"}
_OURS, _INPUTS, _STACKED = "bank", "inputs", "one graph"
_QUICK = 3
_NOISE = 0.05


@dataclass(frozen=True, eq=False)
class Rivals:
    """A bank, a bank of the same mutants whose weights are inputs, and one graph of them all.

    Each takes images float32 [R, …] and rows (image, mutant), mutants from 1, and gives class
    scores float32 [B, classes].
    """

    bank: BankSession
    inputs: BankSession
    stacked: Callable[[FloatArray, NDArray[np.int64], NDArray[np.int64]], FloatArray]

    def contenders(
        self, images: FloatArray, rows: NDArray[np.int64], mutants: NDArray[np.int64]
    ) -> dict[str, Callable[[], FloatArray]]:
        """Return all three on the same rows, the original's own run left out."""
        ours, theirs = self.bank.features(images), self.inputs.features(images)
        return {
            _OURS: lambda: self.bank.scores(ours, rows, mutants),
            _INPUTS: lambda: self.inputs.scores(theirs, rows, mutants),
            _STACKED: lambda: self.stacked(images, rows, mutants),
        }

    def close(self) -> None:
        """Release the threads of the banks."""
        self.bank.close()
        self.inputs.close()


def measure(quick: bool, say: Callable[[str], None]) -> Section:
    """Time 4 to 32 mutants of LeNet and ResNet-20.

    Raises:
        DisagreementError: the alternatives do not compute the same.
    """
    cells: dict[str, list[list[str]]] = {pattern: [] for pattern in _ROWS}
    figures, notes = [], []
    for name, mutants in product(("lenet", "resnet20"), MUTANTS):
        network = load_network(name)
        notes += [network.note] if network.note and mutants == MUTANTS[0] else []
        say(f"{mutants} mutants that bring all parameters: {network.title}")
        rivals = prepared(network, mutants)
        for pattern, images in product(_ROWS, IMAGE_COUNTS):
            rows = drawn_rows(pattern, images, mutants)
            timings = race(
                rivals, network.inputs[:images], *rows, _QUICK if quick else _repetitions(name, rows)
            )
            found = ratios(f"retrained_{network.key}_{mutants}_mutants_{pattern}_{images}_images", timings)
            figures += found if mutants == _QUOTED else []
            cells[pattern].append([network.title, f"{mutants}", f"{images}", *_cells(timings, found)])
        rivals.close()
    columns = ["", "mutants", "images", "bank", "inputs", "", "one graph", ""]
    tables = [
        Table(f"{title[0].upper()}{title[1:]}, milliseconds", columns, cells[pattern])
        for pattern, title in _ROWS.items()
    ]
    tables[-1].notes.extend(
        [
            "bank: ours, a session a mutant. inputs: one session whose weights are inputs, as mutants have that "
            "change a part of them. one graph: grouped convolutions and batched products with "
            f"{available_cores()} threads; it runs every image under every mutant whatever is asked for. "
            "The original's own run is left out.",
            *notes,
        ]
    )
    return Section("Mutants that bring all parameters", tables, figures)


def whole_pool(network: Network, mutants: int) -> Pool:
    """Return mutants that share no parameter with the original.

    Their values are the original's with noise: the values do not change times.
    """
    original = network.builder.parameters.values
    pool = []
    for number in range(mutants):
        noise = np.random.default_rng([0, number]).standard_normal(len(original)) * original.std()
        pool.append(Mutant(Retrain.name, {"values": (original + _NOISE * noise).astype(np.float32)}))
    return Pool(network, Retrain.name, 1.0, pool)


def prepared(network: Network, mutants: int, threads: int = 0) -> Rivals:
    """Return the rivals of one pool, opened."""
    pool = whole_pool(network, mutants)
    positions = np.arange(len(network.builder.parameters.values), dtype=np.int32)
    patched = [Mutant(mutant.operator, {"positions": positions, **mutant.choice}) for mutant in pool.mutants]
    models = [pool.stand_alone.model(number, original_names=False) for number in range(1, mutants + 1)]
    graph = open_session(stack(models).SerializeToString(), threads=threads or available_cores())

    def stacked(images: FloatArray, rows: NDArray[np.int64], numbers: NDArray[np.int64]) -> FloatArray:
        return np.asarray(graph.run(None, {IMAGES: images})[0][numbers - 1, rows])

    return Rivals(pool.bank.session(threads), network.builder.build(patched).session(threads), stacked)


def drawn_rows(pattern: str, images: int, mutants: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw rows (image, mutant), int64 [B] each."""
    if pattern == "every":
        return np.tile(np.arange(images), mutants), np.repeat(np.arange(1, mutants + 1), images)
    return np.arange(images), np.random.default_rng(1).integers(1, mutants + 1, images)


def race(
    rivals: Rivals,
    images: FloatArray,
    rows: NDArray[np.int64],
    mutants: NDArray[np.int64],
    repetitions: int,
) -> dict[str, Timing]:
    """Check that all contenders compute the same, then time them in turn.

    Raises:
        DisagreementError: they do not compute the same.
    """
    contenders = rivals.contenders(images, rows, mutants)
    answers = {name: run() for name, run in contenders.items()}
    for name, answer in answers.items():
        if not np.allclose(answers[_OURS], answer, rtol=TOLERANCE, atol=TOLERANCE):
            raise DisagreementError(f"{_OURS} and {name} do not agree; nothing was timed")
    timed: dict[str, Contender] = {**contenders}
    return interleaved(timed, repetitions)


def ratios(key: str, timings: dict[str, Timing]) -> list[Figure]:
    """Return how many times as long as the bank the others take."""
    ours = timings[_OURS].median
    return [
        Figure(f"{key}_vs_{name.replace(' ', '_')}", timings[name].median / ours, "x")
        for name in (_INPUTS, _STACKED)
    ]


def _repetitions(network: str, rows: tuple[NDArray[np.int64], NDArray[np.int64]]) -> int:
    """Return the number of repetitions; fewer where a run takes a second."""
    if network == "lenet":
        return 31
    return 15 if len(rows[0]) < 200 else 5


def _cells(timings: dict[str, Timing], figures: list[Figure]) -> list[str]:
    cells = [milliseconds(timings[_OURS].median)]
    for name, figure in zip((_INPUTS, _STACKED), figures, strict=True):
        cells += [milliseconds(timings[name].median), held(figure)]
    return cells
