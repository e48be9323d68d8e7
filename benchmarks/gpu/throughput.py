"""Images a second through a bank, through a session a mutant, and through eager torch, on one device."""

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch

from benchmarks.agreement import DisagreementError
from benchmarks.bank.in_flight import Request, at_once, never_sure
from benchmarks.figures import Figure, quantity
from benchmarks.gpu.alternatives import Scorer, by_modules, by_sessions, modules, sessions, views_of
from benchmarks.gpu.labels import all_scores, compare
from benchmarks.gpu.stores import Subject
from benchmarks.interleave import Contender, interleaved
from benchmarks.sections import Section, Table, held
from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.views import Inputs
from mutant_guard.runtime.options import Device
from mutant_guard.runtime.order import Order
from mutant_guard.runtime.scheduling.batches import Batches
from mutant_guard.runtime.scheduling.row_budget import measured_budget
from mutant_guard.runtime.scheduling.scheduler import Scheduler
from mutant_store.bank.export import open_mutants

IN_FLIGHT = (1, 64)
MUTANTS = 100
"""Most mutants that are measured."""

_KEY = b"the key of published figures"
_OPENING = 0.5
"""Share of the time after which no more sessions are opened."""
_MOST = 30
"""Most rounds behind the first."""
_CHECKED = 16
_LOOK_AHEAD = 10
_BANK, _SESSIONS, _EAGER = "bank", "sessions", "eager torch"


def measure(
    subject: Subject, session: BankSession, device: Device, until: float, say: Callable[[str], None]
) -> Section:
    """Measure a store with 1 and with 64 images in flight.

    Args:
        subject: the store.
        session: its bank on the device.
        device: the device of the alternatives.
        until: time, by the monotonic clock, at which no more rounds are begun.
        say: callback that is told what is going on.

    Raises:
        DisagreementError: an alternative does not compute the same as the bank.
        GuardError: an alternative cannot be made.
    """
    torch.backends.cudnn.allow_tf32 = False  # as in the bank
    torch.set_num_threads(1)  # on a CPU the networks are too small for more
    mutants = open_mutants(subject.store)
    most = min(MUTANTS, subject.store.manifest.mutants)
    opening = time.monotonic() + _OPENING * (until - time.monotonic())
    say(f"opening a session for each of {most} mutants")
    opened = sessions(mutants, most, device, opening)
    count = len(opened) - 1
    say(f"making eager torch modules of {count} mutants")
    views = views_of(mutants, count)
    others = {
        _SESSIONS: by_sessions(opened, views),
        _EAGER: by_modules(modules(mutants, count, device), views, device),
    }
    inputs = subject.images[: max(IN_FLIGHT)]
    for name, scorer in others.items():
        _check(name, scorer, session, inputs[:_CHECKED], count)
    say(f"timing {count} mutants of {' and '.join(map(str, IN_FLIGHT))} images in flight")
    return _section(subject, count, _race(subject, session, others, count, until))


def _check(name: str, scorer: Scorer, session: BankSession, inputs: Inputs, count: int) -> None:
    theirs = np.stack(scorer(inputs), axis=1)
    ours = all_scores(session, inputs, slice(None), count)
    if found := compare(ours, theirs.reshape(ours.shape)).differing:
        raise DisagreementError(f"bank and {name} name other labels in {found} rows; nothing was timed")


def _race(
    subject: Subject, session: BankSession, others: dict[str, Scorer], count: int, until: float
) -> dict[tuple[str, int], float]:
    """Return median seconds of each way with each number of images in flight."""
    requests = _requests(subject, max(IN_FLIGHT))
    inputs = subject.images[: max(IN_FLIGHT)]
    orders = np.stack([order for _, order in requests])
    budget = measured_budget(session, inputs, orders, min(_LOOK_AHEAD, count))
    scheduler = Scheduler(Batches(session, never_sure(count), budget), max_in_flight=max(IN_FLIGHT))
    scheduler.start()
    contenders: dict[tuple[str, int], Contender] = {}
    for number in IN_FLIGHT:
        own = requests[:number]
        contenders[_BANK, number] = partial(at_once, scheduler, own)
        for name, scorer in others.items():
            contenders[name, number] = partial(scorer, inputs[:number])
    try:
        first = {name: timing.seconds for name, timing in interleaved(contenders, 1).items()}
        each = sum(map(sum, first.values()))
        rounds = min(_MOST, int(max(0.0, until - time.monotonic()) / each))
        more = interleaved(contenders, rounds, warm_ups=0)
    finally:
        scheduler.close()
    return {name: median([*first[name], *more[name].seconds]) for name in contenders}


def _requests(subject: Subject, number: int) -> list[Request]:
    manifest = subject.store.manifest
    order = Order(_KEY, pool=manifest.mutants, decks=manifest.decks)
    pixels = subject.images.pixels[0]
    return [(subject.images[n : n + 1], order.mutants(pixels[n])) for n in range(min(number, len(pixels)))]


def _section(subject: Subject, count: int, seconds: dict[tuple[str, int], float]) -> Section:
    rows, figures = [], []
    for number in IN_FLIGHT:
        rates = {name: number / seconds[name, number] for name in (_BANK, _SESSIONS, _EAGER)}
        start = f"{subject.key}_{number}_in_flight"
        gains = [
            Figure(f"{start}_vs_sessions", rates[_BANK] / rates[_SESSIONS], "x"),
            Figure(f"{start}_vs_eager", rates[_BANK] / rates[_EAGER], "x"),
        ]
        figures += [Figure(f"{start}_images_a_second", rates[_BANK], ""), *gains]
        bank, sessions_, eager = (quantity(rate, "") for rate in rates.values())
        rows.append([str(number), bank, sessions_, held(gains[0]), eager, held(gains[1])])
    notes = [
        f"Every image meets the original and {count} mutants. bank: ours, through the scheduler, with runs as large as "
        "the server would measure; sessions: one ONNX Runtime session a mutant; eager torch: one module a mutant. The "
        "last two go mutant by mutant, with all images in flight in one batch. All in float32 without TF32.",
        *filter(None, [subject.note]),
    ]
    head = ["images in flight", "bank", "sessions", "", "eager torch", ""]
    return Section("Throughput", [Table("Images a second", head, rows, notes)], figures)
