"""Distance of the bank to what the machine can multiply at all."""

from collections.abc import Callable

import numpy as np

from benchmarks.bank import arithmetic
from benchmarks.bank.mutants import MUTANTS, bank_scores
from benchmarks.bank.networks import Network, load_network
from benchmarks.bank.peak import FLOPS, matrix_products
from benchmarks.bank.pools import draw_pool
from benchmarks.figures import Figure, milliseconds, quantity
from benchmarks.interleave import Contender, fastest, interleaved
from benchmarks.sections import Section, Table, held
from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.cores import available_cores
from mutant_guard.bank.session import IMAGES, FloatArray, open_session

_REPETITIONS, _QUICK = 15, 3
_OPERATORS = ("nai", "gf")


def measure(quick: bool, say: Callable[[str], None]) -> Section:
    """Time the bank and a plain batch of as many rows against a matrix product.

    The networks are LeNet and ResNet-20.
    """
    networks = [load_network(name) for name in ("lenet", "resnet20")]
    contenders = matrix_products()
    operations: dict[str, int] = {}
    titles: dict[str, str] = {}
    for network in networks:
        say(f"distance to the machine's peak: {network.title}")
        layers = arithmetic.of_layers(network.builder.parameters)
        name = f"{network.key}_plain_batch"
        contenders[name] = _plain_run(network)
        operations[name], titles[name] = 2 * MUTANTS * layers, f"{network.title}, plain batch"
        for operator in _OPERATORS:
            pool = draw_pool(network, operator, MUTANTS)
            name = f"{pool.key}_bank"
            contenders[name] = _bank_run(pool.bank.session(), network.inputs[:1])
            mutants = range(1, MUTANTS + 1)
            operations[name], titles[name] = (
                2 * arithmetic.of_bank(pool.bank, 1, mutants),
                f"{network.title} {operator}",
            )
    timings = interleaved(contenders, _QUICK if quick else _REPETITIONS)
    best = fastest({name: timings[name] for name in matrix_products()})
    peak = FLOPS / timings[best].median / 1e9
    rows, figures = [], [Figure("peak", peak, "GFLOP/s")]
    for name, count in operations.items():
        rate = count / timings[name].median / 1e9
        figures.append(Figure(f"{name}_share_of_peak", 100 * rate / peak, "%"))
        rows.append(
            [
                titles[name],
                quantity(count / 2e6, ""),
                milliseconds(timings[name].median),
                quantity(rate, ""),
                held(figures[-1]),
            ]
        )
    table = Table(
        f"{MUTANTS} rows against the peak of {quantity(peak, 'GFLOP/s')}",
        ["", "million multiply-adds", "milliseconds", "GFLOP/s", "of the peak"],
        rows,
        [
            f"Peak: the product of two large float32 matrices on {available_cores()} cores, by {best.split()[1]}, in "
            "the same run. Multiply-adds are those really performed, outputs × fan-in of every layer over the rows "
            "that run it, padding included; bias, activation, pooling and mutation are not counted.",
            f"Plain batch: {MUTANTS} images through the original with ONNX Runtime.",
            *(network.note for network in networks if network.note),
        ],
    )
    return Section("Distance to the machine", [table], figures)


def _bank_run(session: BankSession, image: FloatArray) -> Contender:
    return lambda: bank_scores(session, image, MUTANTS)


def _plain_run(network: Network) -> Contender:
    session = open_session(network.classifier.model.SerializeToString(), threads=available_cores())
    batch = np.resize(network.inputs, (MUTANTS, *network.inputs.shape[1:]))
    return lambda: session.run(None, {IMAGES: batch})
