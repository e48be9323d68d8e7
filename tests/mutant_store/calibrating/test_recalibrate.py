"""Recalibration of the same mutants: a version of its own, with the old one left as it was."""

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.errors import DataError, StoreError
from mutant_guard.store.calibration_record import CalibrationSettings, FinitePoolRecord
from mutant_guard.store.manifest import Manifest
from mutant_guard.store.reader import CALIBRATION, CURRENT, MANIFEST, RECORDINGS, Store, load_store
from mutant_guard.store.signature import SIGNATURE, load_private_key, load_public_key, make_key
from mutant_store.calibrating import recalibrate as module
from mutant_store.calibrating.recalibrate import recalibrate
from mutant_store.calibrating.recordings import unpack
from mutant_store.publishing.housekeeping import collect_garbage, list_versions, use_version
from mutant_store.publishing.publish import CALIBRATING, STAGING, building
from tests.support.demo import SilentReport
from tests.support.versions import copy_of, killed_at

OWN = {CALIBRATION, RECORDINGS, MANIFEST}
"""Files in which a recalibrated version may differ."""


@pytest.fixture
def copy(published_store: tuple[Path, Store], tmp_path: Path) -> Path:
    return copy_of(published_store[0], tmp_path)


@pytest.fixture
def quick(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace calibration by the previous record with the settings asked for.

    That takes no time and still makes another version.
    """
    record = load_store(copy).calibration

    def calibrate(
        choice: object,
        certification: object,
        settings: CalibrationSettings,
        *others: object,
        first_share: float,
    ) -> object:
        return record.model_copy(update={"settings": settings})

    monkeypatch.setattr(module, "calibrate", calibrate)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def entries(store: Path) -> set[str]:
    return {entry.name for entry in store.iterdir()} - {".lock"}


@pytest.mark.usefixtures("quick")
def test_a_version_of_its_own_shares_the_files_of_the_mutants(copy: Path) -> None:
    old = load_store(copy)
    before = digests(old.path)
    new = recalibrate(copy, SilentReport(), max_false_alarm=0.1)
    assert load_store(copy).version == new.version != old.version
    assert entries(copy) == {CURRENT, old.version, new.version}
    assert digests(old.path) == before
    after = digests(new.path)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == OWN - {RECORDINGS}
    for name in before.keys() - OWN:
        assert (new.path / name).samefile(old.path / name), name
    for name in OWN:
        assert not (new.path / name).samefile(old.path / name), name


def test_only_the_calibration_and_the_hashes_differ(copy: Path) -> None:
    old = load_store(copy)
    new = recalibrate(copy, SilentReport(), max_false_alarm=0.1)
    assert new.manifest.model_dump(exclude={"files"}) == old.manifest.model_dump(exclude={"files"})
    changed = {name for name, entry in new.manifest.files.items() if entry != old.manifest.files[name]}
    assert changed == {CALIBRATION}
    assert isinstance(new.manifest, Manifest)
    assert new.calibration.policies["paper"] == old.calibration.policies["paper"]

    def test(store: Store) -> FinitePoolRecord:
        found = store.calibration.policies["calibrated"].test
        assert isinstance(found, FinitePoolRecord)
        return found

    assert test(new).threshold < test(old).threshold
    inputs = np.random.default_rng(0).random((4, 1, 8, 8)).astype(np.float32)
    labels = [store.session(threads=1).labels(inputs, np.arange(61)) for store in (old, new)]
    assert np.array_equal(labels[0], labels[1])


def test_settings_that_are_not_given_stay(copy: Path) -> None:
    first = recalibrate(copy, SilentReport(), max_false_alarm=0.1, rho=1.5)
    assert first.calibration.settings == CalibrationSettings(
        max_false_alarm=0.1, rho=1.5, evidence="label_change", own_weight=0.25
    )
    second = recalibrate(copy, SilentReport(), fixed_mutants=30, rho=None)
    assert second.calibration.settings == first.calibration.settings.model_copy(update={"fixed_mutants": 30})
    fixed = second.calibration.policies["fixed"]
    assert fixed.policy("fixed").mutants == 30
    assert second.calibration.policies["calibrated"] == first.calibration.policies["calibrated"]


def test_nothing_changed_gives_the_version_that_is_there(copy: Path) -> None:
    old = load_store(copy)
    new = recalibrate(copy, SilentReport())
    assert (new.version, new.calibration) == (old.version, old.calibration)
    assert entries(copy) == {CURRENT, old.version}


def test_the_same_change_gives_the_same_version(copy: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(copy, tmp_path / "elsewhere" / copy.name))
    versions = [recalibrate(store, SilentReport(), clean_mutants=10).version for store in (copy, other, copy)]
    assert len(set(versions)) == 1


@pytest.mark.usefixtures("quick")
def test_kept_label_changes_are_used_without_data(copy: Path) -> None:
    report = SilentReport()
    new = recalibrate(copy, report, max_false_alarm=0.1)
    assert report.steps == ["choosing the policies and certifying them", "publishing"]
    assert new.manifest.data == load_store(copy).manifest.data


def test_other_images_are_recorded_and_become_the_stores(copy: Path) -> None:
    old, report = load_store(copy), SilentReport()
    new = recalibrate(copy, report, spec="digits@test[0:241]", threads=1)
    data = new.manifest.data
    assert (data.choice.spec, data.certification.spec) == ("digits@test[0:120]", "digits@test[120:241]")
    assert not data.choice.overlaps(data.certification)
    assert (data.filter, data.train) == (old.manifest.data.filter, old.manifest.data.train)
    kept = unpack(new.path / RECORDINGS)
    assert {name: part.changes.shape for name, part in kept.items()} == {
        "choice": (120, 60),
        "certification": (121, 60),
    }
    assert report.calls[-1] == (241, 241)
    assert new.calibration.policies["calibrated"].alarms.trials == 121
    again = recalibrate(copy, SilentReport(), max_false_alarm=0.1)
    assert again.manifest.data == data
    assert (again.path / RECORDINGS).read_bytes() == (new.path / RECORDINGS).read_bytes()


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        ("digits@test[0:100]", {}, r"holds 100 images; half .* at least 59 .*: give 118 or more"),
        ("digits@test[0:118]", {"max_false_alarm": 0.01}, r"rate of 0.01: give 598 or more, or raise --max"),
        ("digits@train", {}, r"holds images that trained this classifier"),
        ("digits@holdout", {}, r"holds images that filtered the mutants"),
        (None, {"max_false_alarm": 0.001}, r"needs at least 2995 correctly classified images"),
        (None, {"rho": 100.0}, r"gives no test"),
    ],
)
def test_a_calibration_that_cannot_be_leaves_the_store_as_it_was(
    copy: Path, spec: str | None, changes: dict[str, float], message: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.name != ".lock"}
    with pytest.raises(DataError, match=message):
        recalibrate(copy, SilentReport(), spec=spec, sign_key=None, threads=1, **changes)
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.name != ".lock"} == before


@pytest.mark.usefixtures("quick")
def test_an_unfinished_build_is_left_alone(copy: Path) -> None:
    (copy / STAGING).mkdir()
    (copy / STAGING / "progress-nai.json").write_text("{}")
    recalibrate(copy, SilentReport(), max_false_alarm=0.1)
    assert (copy / STAGING / "progress-nai.json").read_text() == "{}"


@pytest.mark.usefixtures("quick")
def test_what_a_killed_calibration_left_is_cleared(copy: Path) -> None:
    (copy / CALIBRATING / "deep").mkdir(parents=True)
    (copy / CALIBRATING / "notes").write_text("left over")
    new = recalibrate(copy, SilentReport(), max_false_alarm=0.1)
    assert not (copy / CALIBRATING).exists()
    assert {path.name for path in new.path.iterdir()} == {*new.manifest.files, MANIFEST}


def test_garbage_collection_clears_it_as_well(copy: Path) -> None:
    (copy / CALIBRATING).mkdir()
    (copy / CALIBRATING / "notes").write_text("12345")
    (garbage,) = collect_garbage(copy, dry_run=True)
    assert (garbage.path, garbage.size) == (copy / CALIBRATING, 5)
    assert (copy / CALIBRATING).exists()
    collect_garbage(copy)
    assert not (copy / CALIBRATING).exists()


@pytest.mark.usefixtures("quick")
def test_it_is_signed_before_it_is_current(copy: Path, tmp_path: Path) -> None:
    private, public = make_key()
    (tmp_path / "a.key").write_bytes(private)
    (tmp_path / "a.pub").write_bytes(public)
    old = load_store(copy).version
    new = recalibrate(copy, SilentReport(), sign_key=tmp_path / "a.key", max_false_alarm=0.1)
    key = load_public_key(tmp_path / "a.pub")
    assert load_store(copy, signed_by=key).version == new.version
    with pytest.raises(StoreError, match="not signed"):
        load_store(copy, old, signed_by=key)
    assert (
        load_private_key(tmp_path / "a.key").sign((new.path / MANIFEST).read_bytes())
        == (new.path / SIGNATURE).read_bytes()
    )
    # A signature belongs to its manifest, so the next version does not inherit it.
    other = recalibrate(copy, SilentReport(), max_false_alarm=0.2)
    assert not (other.path / SIGNATURE).exists()


def test_a_bad_key_is_refused_before_anything_is_done(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.key").write_text("no key")
    report = SilentReport()
    with pytest.raises(StoreError, match="no private key"):
        recalibrate(copy, report, sign_key=tmp_path / "bad.key", max_false_alarm=0.1)
    assert report.steps == []


@pytest.mark.usefixtures("quick")
def test_the_old_version_can_be_used_again_and_collected_without_harm_to_the_new(copy: Path) -> None:
    old = load_store(copy)
    new = recalibrate(copy, SilentReport(), max_false_alarm=0.1)
    assert use_version(copy, old.version).calibration == old.calibration
    assert use_version(copy, new.version).calibration == new.calibration
    collect_garbage(copy, keep=0)
    assert entries(copy) == {CURRENT, new.version}
    assert load_store(copy).calibration == new.calibration


@pytest.mark.usefixtures("quick")
def test_files_are_copied_where_they_cannot_be_linked(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    old = load_store(copy)
    new = recalibrate(copy, SilentReport(), max_false_alarm=0.1)
    assert load_store(copy) == new
    assert not (new.path / "bank-0.onnx").samefile(old.path / "bank-0.onnx")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("function", ["calibrate", "write_version", "publish", "_link"])
def test_an_interruption_leaves_the_store_whole(
    copy: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    old = load_store(copy)

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, function, interrupt)
        with pytest.raises(KeyboardInterrupt):
            recalibrate(copy, SilentReport(), max_false_alarm=0.1)
    assert load_store(copy) == old
    assert [version.name for version in list_versions(copy)] == [old.version]
    new = recalibrate(copy, SilentReport(), max_false_alarm=0.1)
    assert entries(copy) == {CURRENT, old.version, new.version}


@pytest.mark.usefixtures("quick")
def test_killed_at_any_write_it_leaves_the_old_version_or_the_new(copy: Path, tmp_path: Path) -> None:
    old = load_store(copy)
    new = recalibrate(Path(shutil.copytree(copy, tmp_path / "done" / copy.name)), SilentReport(), rho=2.0)

    def work(store: Path) -> Callable[[], object]:
        return lambda: recalibrate(store, SilentReport(), rho=2.0)

    step, killed = 0, True
    while killed:
        store = Path(shutil.copytree(copy, tmp_path / str(step) / copy.name))
        killed = killed_at(step, work(store))
        assert load_store(store).version in ({old.version, new.version} if killed else {new.version})
        assert not any(version.problem for version in list_versions(store))
        step += 1
    assert step > 8


def test_it_waits_for_no_build(copy: Path) -> None:
    with building(copy), pytest.raises(StoreError, match="or another command that changes it; wait for it"):
        recalibrate(copy, SilentReport(), max_false_alarm=0.1)


def test_no_store_is_said_and_none_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such store; make one with mutant-store build"):
        recalibrate(tmp_path / "nowhere", SilentReport())
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("interrupted", [False, True])
def test_the_bank_is_closed_after_recording(copy: Path, closed: list[BankSession], interrupted: bool) -> None:
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    report = SilentReport(interrupt) if interrupted else SilentReport()
    with pytest.raises(KeyboardInterrupt) if interrupted else nullcontext():
        recalibrate(copy, report, spec="digits@test[0:118]", threads=1)
    assert len(closed) == 1
