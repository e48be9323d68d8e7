"""Cost of a verdict: Table VI, and the time of one image for every detector, measured in turns."""

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.experiment.material.pool_settings import is_trained
from evaluation.experiment.material.pools import PoolKey, Pools
from evaluation.experiment.measuring.mutation import Tables
from evaluation.experiment.records.paper import Paper
from evaluation.experiment.records.results import NORMAL, CostCell
from evaluation.png import encode_png
from evaluation.server import ORDER_KEY
from mutant_guard.bank.bank_session import BankSession
from mutant_guard.guard import Guard
from mutant_guard.store.reader import Store
from mutant_store.bank.builder import BankBuilder
from mutant_store.graph.activations import Activations
from mutant_store.loading.subject import Subject, load_subject
from mutant_store.operators import operators_named
from mutant_store.pool.selection import select
from mutant_store.reporter import Reporter

Call = Callable[[NDArray[np.uint8]], object]
"""Function of an image uint8 [1, H, W, C]."""

_WARM_UP = 3
_GENERATED = 20


def milliseconds(calls: Mapping[str, Call], images: NDArray[np.uint8]) -> dict[str, float]:
    """Return the median time of a call with one image uint8 [1, H, W, C], in ms.

    The calls take turns image by image.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number, image in enumerate(images):
        for name, call in calls.items():
            started = time.perf_counter()
            call(image[None])
            if number >= min(_WARM_UP, len(images) - 1):
                taken[name].append(1e3 * (time.perf_counter() - started))
    return {name: median(found) for name, found in taken.items()}


def best_milliseconds(calls: Mapping[str, Call], images: NDArray[np.uint8]) -> dict[str, float]:
    """Return the median time of a call into torch with one image, in ms.

    Torch has one of its threads or all of them, whichever is faster for each call.
    """
    threads = torch.get_num_threads()
    measured = []
    try:
        for count in {1, threads}:
            torch.set_num_threads(count)
            measured.append(milliseconds(calls, images))
    finally:
        torch.set_num_threads(threads)
    return {name: min(found[name] for found in measured) for name in calls}


def costs(
    pools: Pools,
    paper: Paper,
    found: Tables,
    images: NDArray[np.uint8],
    report: Reporter,
    threads: int = 0,
) -> list[CostCell]:
    """Return Table VI at the main rates, a row an operator.

    Mutants are those of Algorithm 1 at the least ρ on the paper's attacks, or on all where the
    paper has none of them.

    Args:
        pools: pools of which the first seed's is measured.
        paper: figures that the paper reports.
        found: tables with the number of mutants.
        images: uint8 [N, H, W, C] to measure on.
        report: reporter that is told of the mutants that are made.
        threads: number of CPU threads; 0 takes all cores.
    """
    keys = {operator: pools.keys(operator)[0] for operator in pools.settings.operators}
    stores = {name: store for name, key in keys.items() if (store := pools.store(key)) is not None}
    forward = forward_milliseconds(stores, images, threads)
    of_the_paper = {cell.kind for cell in found.rates if cell.paper is not None}
    least = min((cell.rho for cell in found.detection), default=None)
    cells = []
    for name in stores:
        at_one = [cell for cell in found.detection if cell.operator == name and cell.rho == least]
        suspicious = [cell for cell in at_one if cell.kind != NORMAL]
        needed = [cell for cell in suspicious if cell.kind in of_the_paper] or suspicious
        cells.append(
            CostCell(
                operator=name,
                forward_ms=forward[name],
                generate_seconds=generate_seconds(pools, keys[name], report),
                mutants=float(np.mean([cell.mean_mutants for cell in needed])) if needed else None,
                paper=paper.cost(name),
            )
        )
    return cells


def policy_milliseconds(
    stores: Mapping[str, tuple[Path, str]], images: NDArray[np.uint8], threads: int = 0
) -> dict[str, float]:
    """Return the median time of the guard's verdict on one image after the other, in ms.

    Decoding is included.

    Args:
        stores: a store's directory and the policy, by name.
        images: uint8 [N, H, W, C].
        threads: number of CPU threads; 0 takes all cores.
    """
    with ExitStack() as stack:
        calls: dict[str, Call] = {}
        for name, (path, policy) in stores.items():
            guard = stack.enter_context(Guard(path, policy=policy, order_key=ORDER_KEY, threads=threads))
            calls[name] = _judge(guard)
        return milliseconds(calls, images)


def forward_milliseconds(
    stores: Mapping[str, Store], images: NDArray[np.uint8], threads: int = 0
) -> dict[str, float]:
    """Return the median time of one mutant on one image, in ms, by store.

    It is the time of the whole pool on one image after the other, over its size.
    """
    with ExitStack() as stack:
        calls: dict[str, Call] = {}
        for name, store in stores.items():
            session = stack.enter_context(closing(store.session(threads=threads)))
            calls[name] = _all_mutants(session, store)
        found = milliseconds(calls, images)
    return {name: value / stores[name].manifest.mutants for name, value in found.items()}


def generate_seconds(pools: Pools, key: PoolKey, report: Reporter) -> float | None:
    """Return the time of an accurate mutant, filtered as the pool's were, in seconds.

    It is the mean of 20 that are made for it. For trained mutants it is that of the whole store
    when it was built, None where that was not measured.
    """
    if is_trained(key.operator):
        taken = pools.build_seconds(key)
        return None if taken is None else taken / pools.settings.mutants_of(key.operator)
    settings = pools.build_settings(key)
    subject: Subject = load_subject(
        pools.model,
        pools.spec,
        settings.input,
        output=None,
        output_kind=None,
        classes=None,
        layers_pattern="",
        calibration=settings.calibration,
    )
    chosen = replace(settings.selection, mutants=_GENERATED, jobs=1)
    builder = BankBuilder(subject.classifier, subject.layers, Activations(subject.classifier, subject.probe))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        select(subject, builder, operators_named(key.operator), chosen, Path(folder), report)
        return (time.perf_counter() - started) / _GENERATED


def _judge(guard: Guard) -> Call:
    return lambda image: guard.classify(encode_png(image[0]))


def _all_mutants(session: BankSession, store: Store) -> Call:
    everyone = np.arange(1, store.manifest.mutants + 1)
    return lambda image: session.labels(store.manifest.input.tensor(image), everyone)
