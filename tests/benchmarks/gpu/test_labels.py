"""The comparison of labels: what counts as a difference, and that one is found."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.gpu.labels import MARGIN, Comparison, compare, measure
from benchmarks.subjects import ServedStore
from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.session import FloatArray

EXPECTED = np.array([[0, 1, 3], [0, 3, 3 + MARGIN / 2], [0, 3, 3 + 2 * MARGIN]], np.float32)


def swapped(row: int) -> FloatArray:
    """The expected scores, with the two best of a row exchanged."""
    found = EXPECTED.copy()
    found[row, 1:] = found[row, :0:-1]
    return found


def test_equal_scores_do_not_differ() -> None:
    assert compare(EXPECTED, EXPECTED) == Comparison(3, 2, 0, 0.0)


@pytest.mark.parametrize(("row", "differing"), [(0, 1), (1, 0), (2, 1)])
def test_labels_differ_where_the_best_score_leads_by_more_than_the_margin(row: int, differing: int) -> None:
    assert compare(EXPECTED, swapped(row)).differing == differing


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_differ_from_all_others(value: float) -> None:
    found = EXPECTED.copy()
    found[0, 2] = value
    assert compare(EXPECTED, found) == Comparison(3, 2, 1, np.inf)


class Wrong:
    """A bank's session that names another label in one row."""

    provider = "CUDAExecutionProvider"

    def __init__(self, session: BankSession) -> None:
        self._session = session
        self.features = session.features
        self.calls = 0

    def scores(
        self, features: list[FloatArray], images: NDArray[np.int64], mutants: NDArray[np.int64]
    ) -> FloatArray:
        scores = self._session.scores(features, images, mutants)
        self.calls += 1
        if self.calls == 2:
            scores[7] = -scores[7]
        return scores


def measured(subject: ServedStore, seconds: float = 60.0) -> dict[str, float | bool | None]:
    session = subject.store.session(threads=1)
    inputs = subject.store.manifest.input.tensor(subject.images[:40])
    wrong: BankSession = Wrong(session)  # type: ignore[assignment]
    mutants = subject.store.manifest.mutants
    section = measure("digits", (session, wrong), inputs, mutants, time.monotonic() + seconds, lambda _: None)
    session.close()
    first, *_ = section.figures
    assert first.name == "digits_labels_that_differ"
    return {figure.name: figure.value for figure in section.figures} | {"met": first.met}


def test_a_label_that_differs_misses_the_target(subject: ServedStore) -> None:
    found = measured(subject)
    assert found["digits_labels_that_differ"] == 1
    assert found["met"] is False
    assert found["digits_rows_compared"] == 40 * (subject.store.manifest.mutants + 1)


def test_without_time_some_images_are_compared_all_the_same(subject: ServedStore) -> None:
    found = measured(subject, seconds=0)
    assert found["met"] is True
    assert found["digits_rows_compared"] == 16 * (subject.store.manifest.mutants + 1)
