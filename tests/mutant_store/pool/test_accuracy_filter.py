from collections.abc import MutableMapping

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.pool import Mutant
from mutant_guard.bank.views import Inputs, arrays_of
from mutant_store.pool.accuracy_filter import Accepted, AccuracyFilter, HopelessError, collect


class FakeSession(BankSession):
    """Bank whose mutants are right on given shares of the images, and that counts its rows."""

    def __init__(self, labels: NDArray[np.int64], accuracies: NDArray[np.float64], seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        right = rng.random((len(labels), len(accuracies))) < accuracies
        self._table = np.where(right, labels[:, None], labels[:, None] + 1)
        self.rows = 0
        self.prefix_id, self.feature_bytes, self._beside = "", 0, 1

    def close(self) -> None:
        pass

    def labels(
        self,
        inputs: Inputs,
        mutants: NDArray[np.int64],
        *,
        rows: int = 512,
        known: MutableMapping[int, list[NDArray[np.float32]]] | None = None,
    ) -> NDArray[np.int64]:
        self.rows += len(inputs) * len(mutants)
        return np.asarray(self._table[arrays_of(inputs)[0][:, 0].astype(int)][:, mutants - 1])


def filtering(images: int, ratio: float = 0.9, error: float = 0.0) -> AccuracyFilter:
    rng = np.random.default_rng(1)
    inputs = np.arange(images, dtype=np.float32)[:, None]
    return AccuracyFilter(inputs, rng.integers(0, 9, images), round(images * 0.97), ratio, error)


def numbered(number: int) -> Mutant:
    return Mutant("nai", {"neurons": np.array([number], dtype=np.int32)})


def number_of(mutant: Mutant) -> int:
    return int(mutant.choice["neurons"][0])


@pytest.mark.parametrize(("error", "share"), [(0.0, 0.7), (1e-6, 0.4)])
def test_judging_early_changes_no_outcome_and_saves_rows(error: float, share: float) -> None:
    bar = filtering(1100, error=error)
    session = FakeSession(bar.labels, np.linspace(0.2, 1, 90))
    kept, accuracies = bar.judge(session, 90)
    rows, session.rows = session.rows, 0
    right = (session.labels(bar.inputs[:], np.arange(1, 91)) == bar.labels[:, None]).mean(axis=0)
    assert kept.tolist() == (right * 1100 >= bar.needed).tolist()
    assert 0 < kept.sum() < 90
    assert rows < share * session.rows
    assert np.abs(accuracies - right).max() < 0.2


def test_a_large_error_is_made_use_of() -> None:
    """Decisions on few images differ from those on all images, within the stated error."""
    bar = filtering(400, error=0.3)
    session = FakeSession(bar.labels, np.full(600, bar.needed / 400))
    kept, _ = bar.judge(session, 600)
    right = (session.labels(bar.inputs[:], np.arange(1, 601)) == bar.labels[:, None]).sum(axis=0)
    assert 0 < (kept != (right >= bar.needed)).mean() < 0.3


def test_the_bar_is_a_share_of_the_originals_accuracy() -> None:
    assert AccuracyFilter(np.zeros((100, 1), np.float32), np.zeros(100, np.int64), 90, 0.9).needed == 81


def collected(wanted: int, accepted: Accepted, chunks: list[int], jobs: int = 1) -> Accepted:
    bar = filtering(300)
    table = np.random.default_rng(3).uniform(0.7, 1, 6000)

    def load(pool: list[Mutant]) -> BankSession:
        numbers = [number_of(mutant) for mutant in pool]
        return FakeSession(bar.labels, table[numbers], seed=numbers[0])

    def progress(found: Accepted) -> None:
        chunks.append(found.drawn)
        if len(chunks) == 2 and accepted is found and wanted > 60:
            raise KeyboardInterrupt

    return collect(bar, wanted, accepted, draw=numbered, load=load, progress=progress, jobs=jobs)


def test_mutants_are_the_first_accurate_draws_in_order() -> None:
    found = collected(50, Accepted(), [])
    assert len(found.candidates) == len(found.mutants) == len(found.accuracies) == 50
    assert found.candidates == sorted(found.candidates)
    assert [number_of(mutant) for mutant in found.mutants] == found.candidates
    assert found.drawn == found.candidates[-1] + 1


@pytest.mark.parametrize("jobs", [2, 5])
def test_the_number_of_jobs_changes_nothing(jobs: int) -> None:
    one, several = collected(300, Accepted(), [0, 0]), collected(300, Accepted(), [0, 0], jobs)
    assert (one.candidates, one.accuracies, one.drawn) == (
        several.candidates,
        several.accuracies,
        several.drawn,
    )


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_interrupted_run_goes_on_to_the_same_mutants(jobs: int) -> None:
    kept = Accepted()
    with pytest.raises(KeyboardInterrupt):
        collected(200, kept, [], jobs)
    assert 0 < len(kept.candidates) < 200
    resumed = collected(200, kept, [0, 0, 0], jobs)
    assert resumed.candidates == collected(200, Accepted(), [0, 0, 0]).candidates


def test_hardly_any_accurate_mutant_ends_instead_of_going_on() -> None:
    bar = filtering(300)

    def load(pool: list[Mutant]) -> BankSession:
        return FakeSession(bar.labels, np.full(len(pool), 0.3))

    with pytest.raises(HopelessError, match=r"only 0 of 1024 mutants keep 90%"):
        collect(bar, 10, Accepted(), draw=numbered, load=load, progress=lambda accepted: None)
