from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mutant_store.bank_session import BankSession
from mutant_store.errors import StoreError
from mutant_store.reader import PREFIX, Store
from mutant_store.tail import TailRecord
from tests.support.demo import build_digits_store


@pytest.fixture(scope="module")
def fuzzed(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    out = tmp_path_factory.mktemp("fuzzed") / "s"
    return build_digits_store(digits_model, out, operator="mixed:nai,gf", mutants=20)


def records(store: Store) -> list[TailRecord]:
    return [
        TailRecord(store.path / tail.file, tail.shared, tail.features, tail.mutants)
        for tail in store.manifest.bank
    ]


def test_labels_do_not_depend_on_blocks_threads_or_company(fuzzed: Store) -> None:
    inputs = np.random.default_rng(0).random((150, 1, 8, 8)).astype(np.float32)
    everyone = np.arange(21)
    labels = fuzzed.session(threads=1).labels(inputs, everyone)
    assert labels.shape == (150, 21)
    assert (labels != labels[:, :1]).any()
    assert (fuzzed.session(threads=3).labels(inputs, everyone, rows=70) == labels).all()
    some = np.array([4, 0, 19, 7])
    assert (fuzzed.session(threads=2).labels(inputs[20:90], some) == labels[20:90][:, some]).all()


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
    """The parameters one thread writes mutants into are put right even when a run fails."""
    session = fuzzed.session(threads=1)
    inputs = np.random.default_rng(3).random((3, 1, 8, 8)).astype(np.float32)
    expected = session.labels(inputs, np.arange(21))
    features = session.features(inputs)
    broken = [*(feature[:, :1] for feature in features[:-1]), features[-1]]
    with pytest.raises(Exception, match="invalid dimensions"):
        session.scores(broken, np.zeros(10, np.int64), np.arange(2, 21, 2))  # the fuzzed ones
    assert (session.labels(inputs, np.arange(21)) == expected).all()
