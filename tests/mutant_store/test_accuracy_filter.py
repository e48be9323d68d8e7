import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_store.accuracy_filter import Accepted, AccuracyFilter, collect
from mutant_store.errors import ModelError
from mutant_store.session import BankSession


class FakeSession(BankSession):
    """A bank whose mutants are right on a given share of the images; counts the rows it is asked for."""

    def __init__(self, labels: NDArray[np.int64], accuracies: NDArray[np.float64], seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        right = rng.random((len(labels), len(accuracies))) < accuracies
        self._table = np.where(right, labels[:, None], labels[:, None] + 1)
        self.rows = 0

    def labels(
        self, inputs: NDArray[np.float32], mutants: NDArray[np.int64], *, rows: int = 1024
    ) -> NDArray[np.int64]:
        self.rows += len(inputs) * len(mutants)
        return np.asarray(self._table[inputs[:, 0].astype(int)][:, mutants - 1])


def filtering(images: int, ratio: float = 0.9) -> AccuracyFilter:
    rng = np.random.default_rng(1)
    inputs = np.arange(images, dtype=np.float32)[:, None]
    return AccuracyFilter(inputs, rng.integers(0, 9, images), round(images * 0.97), ratio)


def test_leaving_early_changes_no_outcome_and_saves_rows() -> None:
    bar = filtering(1100)
    session = FakeSession(bar.labels, np.linspace(0.2, 1, 90))
    found = bar.correct(session, 90)
    everything = (session.labels(bar.inputs, np.arange(1, 91)) == bar.labels[:, None]).sum(axis=0)
    assert found.tolist() == np.where(everything >= bar.needed, everything, -1).tolist()
    assert 0 < (found >= 0).sum() < 90
    assert session.rows - 1100 * 90 < 0.7 * 1100 * 90


def test_the_bar_is_a_share_of_the_originals_accuracy() -> None:
    assert AccuracyFilter(np.zeros((100, 1), np.float32), np.zeros(100, np.int64), 90, 0.9).needed == 81


def collected(wanted: int, accepted: Accepted, chunks: list[int]) -> Accepted:
    bar = filtering(300)
    table = np.random.default_rng(3).uniform(0.7, 1, 4000)

    def draw(number: int) -> NDArray[np.int32]:
        return np.array([number], dtype=np.int32)

    def load(pool: NDArray[np.int32]) -> BankSession:
        return FakeSession(bar.labels, table[pool[:, 0]], seed=int(pool[0, 0]))

    def progress(found: Accepted) -> None:
        chunks.append(found.drawn)
        if len(chunks) == 2 and accepted is found and wanted > 60:
            raise KeyboardInterrupt

    return collect(bar, wanted, accepted, draw=draw, load=load, progress=progress)


def test_mutants_are_the_first_accurate_draws_in_order() -> None:
    found = collected(50, Accepted(), [])
    assert len(found.candidates) == len(found.choices) == len(found.accuracies) == 50
    assert found.candidates == sorted(found.candidates)
    assert [int(choice[0]) for choice in found.choices] == found.candidates
    assert min(found.accuracies) >= 0.9 * 0.97 - 1e-9
    assert found.drawn == found.candidates[-1] + 1


def test_an_interrupted_run_goes_on_to_the_same_mutants() -> None:
    kept = Accepted()
    with pytest.raises(KeyboardInterrupt):
        collected(200, kept, [])
    assert 0 < len(kept.candidates) < 200
    resumed = collected(200, kept, [0, 0, 0])
    assert resumed.candidates == collected(200, Accepted(), [0, 0, 0]).candidates


def test_hardly_any_accurate_mutant_ends_with_a_message() -> None:
    bar = filtering(300)

    def load(pool: NDArray[np.int32]) -> BankSession:
        return FakeSession(bar.labels, np.full(len(pool), 0.3))

    with pytest.raises(ModelError, match=r"only 0 of 1024 mutants keep 90%.*lower --rate"):
        collect(
            bar,
            10,
            Accepted(),
            draw=lambda number: np.array([number], dtype=np.int32),
            load=load,
            progress=lambda accepted: None,
        )
