"""Recordings of label changes: as the bank gives them, and as a file stores them."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.errors import ModelError, StoreError
from mutant_guard.store.reader import RECORDINGS, Store
from mutant_store.calibrating.recordings import pack, record, record_in_parts, unpack
from mutant_store.datasets import load as load_data
from tests.support.versions import damage


def recording(images: int, pool: int, seed: int = 0) -> Recording:
    rng = np.random.default_rng(seed)
    return Recording(rng.random((images, pool)) < 0.3, rng.random(images) < 0.9)


def equal(first: Recording, second: Recording) -> bool:
    return np.array_equal(first.changes, second.changes) and np.array_equal(first.correct, second.correct)


@pytest.mark.parametrize("pool", [1, 7, 8, 9, 60, 500])
def test_recordings_come_back_as_they_were(pool: int, tmp_path: Path) -> None:
    given = {"choice": recording(11, pool, 1), "certification": recording(1, pool, 2)}
    (tmp_path / "file").write_bytes(pack(given))
    found = unpack(tmp_path / "file")
    assert found.keys() == given.keys()
    for name, one in given.items():
        assert equal(found[name], one)
        assert found[name].changes.dtype == found[name].correct.dtype == np.dtype(bool)


def test_eight_label_changes_take_a_byte() -> None:
    arrays = load(pack({"choice": recording(40, 61)}))
    assert arrays["choice.changes"].shape == (40, 8)
    assert arrays["choice.changes"].dtype == np.dtype(np.uint8)


def test_the_same_recordings_give_the_same_bytes() -> None:
    given = {"choice": recording(5, 9), "certification": recording(6, 9)}
    assert pack(given) == pack(given)


@pytest.mark.parametrize("keep", [0, 7, 40, -1])
def test_a_file_cut_short_is_refused(keep: int, tmp_path: Path) -> None:
    path = tmp_path / RECORDINGS
    path.write_bytes(pack({"choice": recording(40, 61)})[:keep])
    with pytest.raises(StoreError, match=rf"{RECORDINGS} is damaged; build the store again"):
        unpack(path)


@pytest.mark.parametrize("missing", ["correct", "pool"])
def test_a_file_without_one_of_its_arrays_is_refused(missing: str, tmp_path: Path) -> None:
    arrays = load(pack({"choice": recording(4, 9)}))
    del arrays[f"choice.{missing}"]
    (tmp_path / "file").write_bytes(save(arrays))
    with pytest.raises(StoreError, match="is damaged; build the store again"):
        unpack(tmp_path / "file")


def test_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="gone is damaged; build the store again"):
        unpack(tmp_path / "gone")


def test_a_damaged_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xff" * 8 + pack({"choice": recording(4, 9)})[8:])
    with pytest.raises(StoreError, match="is damaged"):
        unpack(path)


def test_images_are_recorded_in_blocks_and_the_progress_told(published_store: tuple[Path, Store]) -> None:
    store = published_store[1]
    data = load_data("digits@test[0:107]")
    inputs, session, told = store.manifest.input.tensor(data.images), store.session(threads=1), list[int]()
    found = record(session, 60, inputs, data.labels, told.append)
    labels = session.labels(inputs, np.arange(61))
    assert told == [50, 100, 107]
    assert np.array_equal(found.changes, labels[:, 1:] != labels[:, :1])
    assert np.array_equal(found.correct, labels[:, 0] == data.labels)
    assert 0 < found.changes.mean() < 0.5 < found.correct.mean() < 1


def test_a_store_keeps_the_label_changes_of_its_parts(published_store: tuple[Path, Store]) -> None:
    store = published_store[1]
    kept = unpack(store.path / RECORDINGS)
    assert kept.keys() == {"choice", "certification"}
    session = store.session(threads=1)
    for name, recorded in kept.items():
        part = load_data(getattr(store.manifest.data, name).spec)
        inputs = store.manifest.input.tensor(part.images)
        assert equal(recorded, record(session, 60, inputs, part.labels, lambda done: None))


def test_a_flipped_bit_of_a_store_is_noticed_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(pack({"choice": recording(40, 61)}))
    before = unpack(path)["choice"]
    damage(path)  # changes a bit of the arrays, which only the manifest's sha256 detects
    assert not equal(unpack(path)["choice"], before)


@pytest.mark.parametrize("parts", [1, 3, 100])
@pytest.mark.parametrize("soft", [False, True])
def test_parts_of_the_images_are_recorded_as_all_together(
    parts: int, soft: bool, published_store: tuple[Path, Store]
) -> None:
    store = published_store[1]
    data = load_data("digits@holdout[0:230]")
    inputs, mutants = store.manifest.input.tensor(data.images), store.manifest.mutants
    evidence = Doubts(1.5, 1.0, 1.0) if soft else None
    session, done = store.session(threads=1), list[int]()
    whole = record(session, mutants, inputs, data.labels, lambda number: None, evidence)
    found = record_in_parts(
        partial(store.session, threads=1),
        ThreadPoolExecutor(2),
        parts,
        mutants,
        inputs,
        data.labels,
        done.append,
        evidence,
    )
    assert pack({"one": found}) == pack({"one": whole})
    assert (found.doubts is not None) is soft
    assert done == {1: [230], 3: [100, 200, 230], 100: [50, 100, 150, 200, 230]}[parts]


def test_an_error_of_a_part_is_raised(published_store: tuple[Path, Store]) -> None:
    store = published_store[1]
    data = load_data("digits@holdout[0:120]")
    inputs = store.manifest.input.tensor(data.images)
    inputs[110] = np.nan
    with pytest.raises(ModelError, match="the classifier gives scores that are not finite"):
        record_in_parts(
            partial(store.session, threads=1),
            ThreadPoolExecutor(2),
            2,
            store.manifest.mutants,
            inputs,
            data.labels,
            lambda number: None,
        )
