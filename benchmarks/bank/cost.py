"""Time against the number of mutants, the number of images and the size of the model."""

from collections.abc import Callable

import numpy as np

from benchmarks.bank import arithmetic
from benchmarks.bank.networks import Network, load_network
from benchmarks.bank.pools import draw_pool
from benchmarks.figures import Figure, quantity
from benchmarks.interleave import Contender, Timing, interleaved
from benchmarks.plot import draw
from benchmarks.sections import Section
from benchmarks.sweep import Point, Row, Sweep
from mutant_guard.bank.bank_session import BankSession

PICTURE = "cost.png"

_OPERATORS = ("nai", "gf")
_SWEPT = ("lenet", "resnet20")
_BY_SIZE = ("digits-net", "lenet", "resnet20", "googlenet")
_MUTANTS, _QUICK_MUTANTS = (1, 3, 10, 30, 100, 300, 1000), (1, 10, 100)
_IMAGES, _QUICK_IMAGES = (1, 2, 4, 8, 16, 32), (1, 4, 16)
_POOL = 100
"""Number of mutants where the number of images or the model varies."""
_REPETITIONS, _QUICK = 5, 1


def measure(quick: bool, say: Callable[[str], None]) -> Section:
    """Time NAI and GF on every network of the evaluation."""
    mutants, images = (_QUICK_MUTANTS, _QUICK_IMAGES) if quick else (_MUTANTS, _IMAGES)
    networks = {}
    for name in _BY_SIZE:
        say(f"cost: preparing {name}")
        networks[name] = load_network(name)
    sweeps = [
        Sweep("One image", "mutants", [_row(networks, count, count, 1) for count in mutants]),
        Sweep(
            f"{_POOL} mutants an image", "images", [_row(networks, count, _POOL, count) for count in images]
        ),
        _by_size(networks),
    ]
    timings = _time(networks, sweeps, _QUICK if quick else _REPETITIONS, say)
    tables = [sweep.table(timings) for sweep in sweeps]
    tables[-1].notes.extend(network.note for network in networks.values() if network.note)
    figures = [
        Figure(f"{point.operator}_{networks[name].key}_{_POOL}_mutants", 1000 * timings[point].median, "ms")
        for name in _BY_SIZE
        for point in (Point(name, operator, _POOL, 1) for operator in _OPERATORS)
    ]
    return Section("Cost", tables, figures, {PICTURE: draw(sweeps, timings)})


def _row(networks: dict[str, Network], label: int, mutants: int, images: int) -> Row:
    points = {
        f"{networks[name].title} {operator}": Point(name, operator, mutants, images)
        for name in _SWEPT
        for operator in _OPERATORS
    }
    return Row(str(label), label, points)


def _by_size(networks: dict[str, Network]) -> Sweep:
    rows = []
    for name in _BY_SIZE:
        millions = arithmetic.of_layers(networks[name].builder.parameters) / 1e6
        points = {operator: Point(name, operator, _POOL, 1) for operator in _OPERATORS}
        rows.append(Row(f"{networks[name].title}, {quantity(millions, '')}", millions, points))
    return Sweep(f"One image, {_POOL} mutants", "million multiply-adds a row", rows)


def _time(
    networks: dict[str, Network], sweeps: list[Sweep], repetitions: int, say: Callable[[str], None]
) -> dict[Point, Timing]:
    points = {point for sweep in sweeps for row in sweep.rows for point in row.points.values()}
    sessions: dict[tuple[str, str], BankSession] = {}
    for name, operator in sorted({(point.network, point.operator) for point in points}):
        largest = max(
            point.mutants for point in points if (point.network, point.operator) == (name, operator)
        )
        say(f"cost: bank of {largest} mutants, {networks[name].title}, {operator}")
        sessions[name, operator] = draw_pool(networks[name], operator, largest).bank.session()
    contenders = {
        point: _run(sessions[point.network, point.operator], networks[point.network], point)
        for point in sorted(points, key=lambda point: (point.mutants * point.images, repr(point)))
    }
    say(f"cost: timing {len(contenders)} points")
    timings = interleaved(contenders, repetitions)
    for session in sessions.values():
        session.close()
    return timings


def _run(session: BankSession, network: Network, point: Point) -> Contender:
    inputs, mutants = network.inputs[: point.images], np.arange(1, point.mutants + 1)
    return lambda: session.labels(inputs, mutants)
