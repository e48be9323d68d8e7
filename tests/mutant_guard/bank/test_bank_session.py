import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.own_tail import OwnTail
from mutant_guard.bank.pace import Pace
from mutant_guard.bank.session import FloatArray
from mutant_guard.bank.tail import Features, TailRecord
from mutant_guard.bank.workers import Workers
from mutant_guard.errors import StoreError
from mutant_guard.store.reader import PREFIX, Store
from tests.support.demo import build_digits_store
from tests.support.service import Clock
from tests.support.workers import CountedWorkers


@pytest.fixture(scope="module")
def fuzzed(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    out = tmp_path_factory.mktemp("fuzzed") / "s"
    return build_digits_store(digits_model, out, operator="mixed:nai,gf", mutants=20)


def records(store: Store) -> list[TailRecord]:
    return [
        TailRecord(store.path / tail.file, tail.shared, tail.features, tail.mutants)
        for tail in store.manifest.bank
    ]


@pytest.fixture
def any_work_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads take a part of every run whose pace is known."""
    monkeypatch.setattr("mutant_guard.bank.workers.WORTH_A_THREAD", 1e-12)


def session_on(store: Store, workers: Workers) -> BankSession:
    session = store.session(workers=workers)
    session.warm(np.zeros((1, 1, 8, 8), np.float32))
    return session


@pytest.mark.usefixtures("any_work_is_shared")
def test_labels_do_not_depend_on_blocks_threads_or_company(fuzzed: Store) -> None:
    inputs = np.random.default_rng(0).random((150, 1, 8, 8)).astype(np.float32)
    everyone = np.arange(21)
    labels = fuzzed.session(threads=1).labels(inputs, everyone)
    assert labels.shape == (150, 21)
    assert (labels != labels[:, :1]).any()
    assert (fuzzed.session(threads=3).labels(inputs, everyone, rows=70) == labels).all()
    some = np.array([4, 0, 19, 7])
    assert (fuzzed.session(threads=2).labels(inputs[20:90], some) == labels[20:90][:, some]).all()
    workers = CountedWorkers(3)
    assert (session_on(fuzzed, workers).labels(inputs, everyone, rows=70) == labels).all()
    assert set(workers.shared) == {3}
    workers.close()


def test_rows_of_one_image_come_in_the_order_asked_for(fuzzed: Store) -> None:
    session = fuzzed.session(threads=2)
    features = session.features(np.random.default_rng(1).random((2, 1, 8, 8)).astype(np.float32))
    mutants = np.random.default_rng(2).permutation(21)
    shuffled = session.scores(features, np.ones(21, np.int64), mutants)
    ordered = session.scores(features, np.ones(21, np.int64), np.arange(21))
    np.testing.assert_allclose(shuffled, ordered[mutants], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ordered[0], features[-1][1])


@pytest.mark.parametrize("change", ["lacks one", "holds one twice"])
def test_tails_that_do_not_hold_every_mutant_once_are_refused(fuzzed: Store, change: str) -> None:
    tails = records(fuzzed)
    mutants = list(tails[0].mutants)
    tails[0] = replace(tails[0], mutants=mutants[1:] if change == "lacks one" else [*mutants, mutants[0]])
    with pytest.raises(StoreError, match="does not hold every mutant once; build the store again"):
        BankSession(fuzzed.path / PREFIX, tails, threads=1)


def test_own_weights_without_parameters_are_refused(fuzzed: Store) -> None:
    with pytest.raises(StoreError, match="weights of their own are missing; build the store again"):
        BankSession(fuzzed.path / PREFIX, records(fuzzed), threads=1)


def test_a_failed_run_leaves_the_original_behind(fuzzed: Store) -> None:
    """The parameters that one thread writes mutants into are restored even when a run fails."""
    session = fuzzed.session(threads=1)
    inputs = np.random.default_rng(3).random((3, 1, 8, 8)).astype(np.float32)
    expected = session.labels(inputs, np.arange(21))
    features = session.features(inputs)
    broken = [*(feature[:, :1] for feature in features[:-1]), features[-1]]
    with pytest.raises(Exception, match="invalid dimensions"):
        session.scores(broken, np.zeros(10, np.int64), np.arange(2, 21, 2))  # the fuzzed mutants
    assert (session.labels(inputs, np.arange(21)) == expected).all()


@pytest.mark.parametrize(
    ("seconds_a_row", "rows", "mutants", "expected"),
    [
        (0.0, 64, 4, 1),  # nothing measured yet
        (20e-6, 4, 4, 1),
        (20e-6, 128, 4, 2),
        (1e-3, 8, 8, 2),
        (1e-3, 2, 1, 2),  # both rows are one mutant's
        (1e-3, 1, 1, 1),
    ],
)
def test_threads_only_take_runs_that_are_long_enough(
    seconds_a_row: float, rows: int, mutants: int, expected: int, fuzzed: Store
) -> None:
    workers = CountedWorkers(2)
    session = fuzzed.session(workers=workers)
    features = session.features(np.zeros((1, 1, 8, 8), np.float32))
    session._row_pace = [Pace() for _ in session._row_pace]
    if seconds_a_row:
        for pace in session._row_pace:
            for size in range(rows.bit_length()):
                pace.took(2**size, 2**size * seconds_a_row)
    session.scores(features, np.zeros(rows, np.int64), 1 + np.arange(rows) % mutants)
    assert workers.shared == ([expected] if expected > 1 else [])
    workers.close()


@pytest.mark.parametrize(
    ("seconds_an_image", "images", "expected"), [(0.0, 8, 1), (1e-3, 8, 2), (1e-3, 1, 1)]
)
def test_images_are_shared_out_as_rows_are(
    seconds_an_image: float, images: int, expected: int, fuzzed: Store
) -> None:
    workers = CountedWorkers(2)
    session = fuzzed.session(workers=workers)
    inputs = np.random.default_rng(4).random((images, 1, 8, 8)).astype(np.float32)
    alone = [session.features(image[None]) for image in inputs]
    session._image_pace = Pace()
    if seconds_an_image:
        session._image_pace.took(images, images * seconds_an_image)
    together = session.features(inputs)
    assert workers.shared == ([expected] if expected > 1 else [])
    for number, parts in enumerate(alone):
        for one, own in zip(together, parts, strict=True):
            np.testing.assert_allclose(one[number], own[0], rtol=1e-5, atol=1e-6)
    workers.close()


@pytest.mark.usefixtures("any_work_is_shared")
def test_stores_on_the_same_threads_do_not_get_in_each_others_way(fuzzed: Store) -> None:
    inputs = np.random.default_rng(5).random((40, 1, 8, 8)).astype(np.float32)
    everyone = np.arange(21)
    expected = fuzzed.session(threads=1).labels(inputs, everyone)
    workers = Workers(2)
    sessions = [session_on(fuzzed, workers) for _ in range(4)]
    with ThreadPoolExecutor(4) as askers:
        for found in askers.map(lambda session: session.labels(inputs, everyone, rows=50), sessions):
            assert (found == expected).all()
    workers.close()


@pytest.mark.usefixtures("any_work_is_shared")
def test_a_part_that_fails_in_another_thread_fails_the_run(
    fuzzed: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_on(fuzzed, workers := Workers(2))
    inputs = np.random.default_rng(6).random((3, 1, 8, 8)).astype(np.float32)
    expected = session.labels(inputs, np.arange(21))
    features, scores, failed = session.features(inputs), OwnTail.scores, list[str]()

    def fail(
        tail: OwnTail, given: Features, images: NDArray[np.int64], mutants: NDArray[np.int64]
    ) -> FloatArray:
        if threading.current_thread() is threading.main_thread():
            return scores(tail, given, images, mutants)
        failed.append(threading.current_thread().name)
        raise MemoryError("in a thread")

    monkeypatch.setattr(OwnTail, "scores", fail)
    with pytest.raises(MemoryError, match="in a thread"):
        session.scores(features, np.zeros(10, np.int64), np.arange(2, 21, 2))  # the fuzzed mutants
    assert len(failed) == 1
    monkeypatch.undo()
    assert (session.labels(inputs, np.arange(21)) == expected).all()
    workers.close()


def test_closing_leaves_shared_threads_to_others(fuzzed: Store) -> None:
    workers, done = Workers(2), list[int]()
    fuzzed.session(workers=workers).close()
    workers.run([lambda: done.append(1), lambda: done.append(2)])
    assert sorted(done) == [1, 2]
    workers.close()
    own = fuzzed.session(threads=2)
    own.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        own._workers.run([lambda: None, lambda: None])


def test_runs_are_counted_with_the_seconds_they_took(fuzzed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    session, clock = fuzzed.session(threads=1), Clock()
    monkeypatch.setattr("mutant_guard.bank.bank_session.time", clock)
    scores = OwnTail.scores

    def slow(tail: OwnTail, *given: Any) -> FloatArray:
        clock.now += 2
        return scores(tail, *given)

    monkeypatch.setattr(OwnTail, "scores", slow)
    features = session.features(np.zeros((1, 1, 8, 8), np.float32))
    assert (session.runs, session.seconds) == (0, 0)
    for run in (1, 2):
        session.scores(features, np.zeros(2, np.int64), np.array([1, 2]))  # one of them has its own weights
        assert (session.runs, session.seconds) == (run, 2 * run)
