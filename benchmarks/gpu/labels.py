"""Labels of a bank on a device against those on the CPU."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure, quantity
from benchmarks.sections import Section, Table, held
from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.session import FloatArray
from mutant_guard.bank.views import Images
from mutant_guard.decision.evidence.kinds import labels_of

MARGIN = 1e-3
"""Lead of the best score over the second above which both devices must name the same label."""

_TOGETHER = 16


@dataclass(frozen=True)
class Comparison:
    """Scores of rows (image, mutant) on two devices.

    Attributes:
        rows: number of rows.
        sure: number of rows whose best score leads by more than ``MARGIN``.
        differing: number of those whose labels differ.
        largest: largest difference of a score.
    """

    rows: int = 0
    sure: int = 0
    differing: int = 0
    largest: float = 0.0

    def __add__(self, other: "Comparison") -> "Comparison":
        return Comparison(
            self.rows + other.rows,
            self.sure + other.sure,
            self.differing + other.differing,
            max(self.largest, other.largest),
        )


def compare(expected: FloatArray, found: FloatArray) -> Comparison:
    """Compare scores float32 [R, classes] with those that are expected.

    Scores that are not finite have no label, and differ from all that have one.
    """
    second, best = np.partition(expected, -2, axis=1)[:, -2:].T
    sure = ~(best - second <= MARGIN)
    differ = sure & (labels_of(expected) != labels_of(found))
    largest = np.nan_to_num(np.abs(expected - found), nan=np.inf, posinf=np.inf).max(initial=0.0)
    return Comparison(len(expected), int(sure.sum()), int(differ.sum()), float(largest))


def all_scores(session: BankSession, images: Images, chosen: slice, mutants: int) -> FloatArray:
    """Return scores float32 [N · (mutants + 1), classes] of images under the original and all mutants."""
    features = session.features(images[chosen])
    numbers: NDArray[np.int64] = np.arange(mutants + 1)
    rows = np.arange(len(features[-1])).repeat(len(numbers))
    return session.scores(features, rows, np.tile(numbers, len(features[-1])))


def measure(
    key: str,
    sessions: tuple[BankSession, BankSession],
    images: Images,
    mutants: int,
    until: float,
    say: Callable[[str], None],
) -> Section:
    """Compare as many images as there is time for, at least one block.

    Args:
        key: start of the names of the figures.
        sessions: the bank on the CPU, and on the device.
        images: images to compare.
        mutants: number of mutants.
        until: time, by the monotonic clock, at which no more images are begun.
        say: callback that is told what is going on.
    """
    cpu, device = sessions
    say(f"labels of {len(images)} images under {mutants} mutants, on the CPU and by {device.provider}")
    total, done = Comparison(), 0
    while done < len(images) and (not done or time.monotonic() < until):
        chosen = slice(done, done + _TOGETHER)
        total += compare(*(all_scores(session, images, chosen, mutants) for session in (cpu, device)))
        done = min(len(images), done + _TOGETHER)
    figures = [
        Figure(f"{key}_labels_that_differ", total.differing, "", 0, at_most=True),
        Figure(f"{key}_rows_compared", total.rows, ""),
        Figure(f"{key}_largest_difference_of_scores", total.largest, ""),
    ]
    row = [
        device.provider,
        str(done),
        f"{total.rows:,}",
        f"{total.sure:,}",
        held(figures[0]),
        quantity(total.largest, ""),
    ]
    head = ["", "images", "rows", "sure rows", "labels that differ", "largest difference of scores"]
    note = f"A row is an image under the original or a mutant; sure: its best score leads by more than {MARGIN:g}."
    return Section("Labels", [Table("Labels of the device against the CPU's", head, [row], [note])], figures)
