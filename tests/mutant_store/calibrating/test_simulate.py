"""Replayed policies: figures compared with a count by hand, and the grid with calibrate."""

import hashlib
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.decision.calibration.intervals import clopper_pearson
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.evidence.kinds import UNIT
from mutant_guard.decision.sequential.characteristic import over_pool
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import DataError
from mutant_guard.store.calibration_record import CalibrationSettings, FinitePoolRecord, FixedRecord
from mutant_guard.store.reader import RECORDINGS, Store, load_store
from mutant_store.calibrating import simulate as module
from mutant_store.calibrating.clean_images import load_images
from mutant_store.calibrating.recalibrate import recalibrate
from mutant_store.calibrating.recordings import kept_recordings, record, unpack
from mutant_store.calibrating.simulate import behaviour, simulate, suspicious_sets
from mutant_store.calibrating.simulation_plots import plots
from mutant_store.calibrating.simulation_report import CLEAN, WRONG, ImageSetOutcome, Simulation
from mutant_store.cli.app import app
from mutant_store.datasets import load
from tests.support.damage import republish
from tests.support.demo import SilentReport
from tests.support.versions import copy_of

TEST = "digits@test[0:200]"


def recorded(store: Store, spec: str) -> Recording:
    images = load_images(store, spec)
    return record(store.session(threads=1), 60, images.inputs, images.labels, lambda done: None)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write pictures of noise, and return them as a SPEC."""
    path = tmp_path_factory.mktemp("noise") / "noise.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
    np.savez(path, x=pixels, y=np.arange(50) % 10)
    return f"npz:{path}"


@pytest.fixture(scope="module")
def new(published_store: tuple[Path, Store], noise: str) -> Simulation:
    """Simulate every policy on images the store never saw, and on noise."""
    return simulate(
        published_store[0], SilentReport(), spec=TEST, suspicious=[f"noise={noise}"], grid=False, threads=1
    )


@pytest.fixture(scope="module")
def kept(published_store: tuple[Path, Store]) -> Simulation:
    """Simulate on the certification part, on a small grid without the store's own setting."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "GRID_FALSE_ALARMS", (0.01, 0.1))
        patched.setattr(module, "GRID_CLEAN_MUTANTS", (6.0, 10.0))
        return simulate(published_store[0], SilentReport())


def test_the_sets_are_those_given_and_the_wrongly_classified(
    published_store: tuple[Path, Store], new: Simulation, noise: str
) -> None:
    clean = recorded(published_store[1], TEST)
    wrong = int((~clean.correct).sum())
    assert wrong > 3
    found = {name: (images.spec, images.images, images.correct) for name, images in new.sets.items()}
    assert list(found) == [CLEAN, WRONG, "noise"]
    assert found[CLEAN] == (TEST, 200, 200 - wrong)
    assert found[WRONG] == (TEST, wrong, 0)
    assert found["noise"][:2] == (noise, 50)
    assert new.kinds == [WRONG, "noise"]
    assert (new.store, new.version, new.notes) == ("digits", published_store[1].version, [])


def test_the_reference_is_the_threshold_on_all_mutants(
    published_store: tuple[Path, Store], new: Simulation, noise: str
) -> None:
    store = published_store[1]
    test = store.calibration.policies["calibrated"].test
    assert isinstance(test, FinitePoolRecord)
    clean, others = recorded(store, TEST), recorded(store, noise)
    over = clean.counts >= test.threshold
    expected = {
        CLEAN: over,
        WRONG: over[~clean.correct],
        "noise": others.counts >= test.threshold,
    }
    found = new.reference.behaviour
    assert found.false_alarms.count == over[clean.correct].sum()
    assert found.false_alarms.trials == clean.correct.sum()
    for name, hits in expected.items():
        outcome = found.outcomes[name]
        assert (outcome.adversarial.count, outcome.adversarial.trials) == (hits.sum(), hits.size)
        assert (outcome.undecided.count, outcome.median_mutants, outcome.p99_mutants) == (0, 60, 60)
        assert outcome.mean_mutants == pytest.approx(60)
    assert new.reference.threshold == test.threshold / 60


def test_mutants_used_are_exact_over_all_orders(
    published_store: tuple[Path, Store], new: Simulation, noise: str
) -> None:
    store = published_store[1]
    sets = {CLEAN: recorded(store, TEST), "noise": recorded(store, noise)}
    for (name, report), (kind, recording) in product(new.policies.items(), sets.items()):
        used, outcome = report.mutants_used[kind], report.behaviour.outcomes[kind]
        assert sum(used.probabilities) == pytest.approx(1)
        expected = over_pool(store.policy(name).boundaries, recording.counts, 60).mutants.mean()
        assert outcome.mean_mutants == pytest.approx(expected)
        assert np.dot(used.mutants, used.probabilities) == pytest.approx(expected)
        up_to = dict(zip(used.mutants, np.cumsum(used.probabilities), strict=True))
        assert up_to[outcome.median_mutants] >= 0.5 - 1e-6
        assert up_to[outcome.p99_mutants] >= 0.99 - 1e-6
        assert outcome.median_mutants <= outcome.p99_mutants


def test_behaviour_is_what_decisions_in_the_given_order_are(published_store: tuple[Path, Store]) -> None:
    store = published_store[1]
    clean = unpack(store.path / RECORDINGS)["certification"]
    test = store.calibration.policies["fixed"].test
    assert isinstance(test, FixedRecord)
    found = behaviour(store.policy("fixed"), {CLEAN: clean})
    hits = clean.changes[:, : test.mutants].sum(axis=1) >= test.threshold
    alarms = clopper_pearson(int(hits[clean.correct].sum()), int(clean.correct.sum()))
    assert (found.false_alarms.rate, found.false_alarms.low, found.false_alarms.high) == (
        alarms.rate,
        alarms.low,
        alarms.high,
    )
    assert found.outcomes[CLEAN].adversarial.count == hits.sum()
    paper = store.policy("paper")
    one_by_one = [Decision.CONTINUE] * len(clean.correct)
    for mutants in range(1, 61):
        changes = clean.changes[:, :mutants].sum(axis=1, dtype=np.int64)
        now = paper.decide(changes, np.full_like(changes, mutants))
        one_by_one = [
            Decision(next_) if last == Decision.CONTINUE else last
            for last, next_ in zip(one_by_one, now, strict=True)
        ]
    outcome = behaviour(paper, {CLEAN: clean}).outcomes[CLEAN]
    assert outcome.undecided.count == one_by_one.count(Decision.EXHAUSTED) > 0
    assert outcome.adversarial.count == one_by_one.count(Decision.ADVERSARIAL)


def test_the_characteristic_is_exact_and_runs_from_none_to_all(
    published_store: tuple[Path, Store], new: Simulation
) -> None:
    for name, report in new.policies.items():
        curve = report.characteristic
        assert curve is not None
        expected = over_pool(published_store[1].policy(name).boundaries, np.arange(61), 60)
        np.testing.assert_allclose(curve.rates, np.arange(61) / 60)
        np.testing.assert_allclose(curve.adversarial, expected.adversarial, atol=1e-8)
        np.testing.assert_allclose(curve.undecided, expected.undecided, atol=1e-8)
        np.testing.assert_allclose(curve.mutants, expected.mutants, atol=1e-5)
    thresholds = {name: report.threshold for name, report in new.policies.items()}
    assert thresholds["paper"] is None
    assert thresholds["calibrated"] == new.reference.threshold


def test_every_policy_meets_the_same_orders_and_the_seed_draws_them(
    published_store: tuple[Path, Store], new: Simulation, noise: str
) -> None:
    def calibrated(seed: int) -> dict[str, ImageSetOutcome]:
        found = simulate(
            published_store[0],
            SilentReport(),
            spec=TEST,
            suspicious=[f"noise={noise}"],
            policies=["calibrated"],
            grid=False,
            seed=seed,
            threads=1,
        )
        assert list(found.policies) == ["calibrated"]
        return found.policies["calibrated"].behaviour.outcomes

    same, *others = (calibrated(seed) for seed in range(3))
    assert same == new.policies["calibrated"].behaviour.outcomes
    for kind in (CLEAN, WRONG, "noise"):
        assert {other[kind].mean_mutants for other in others} == {same[kind].mean_mutants}
    assert any(other[kind].adversarial != same[kind].adversarial for other in others for kind in same)


def test_without_data_the_certification_part_is_replayed_and_that_is_said(kept: Simulation) -> None:
    assert (kept.sets[CLEAN].spec, kept.sets[CLEAN].images) == (None, 150)
    (note,) = kept.notes
    assert "the thresholds were set on these very images" in note


def test_images_of_the_calibration_are_taken_and_that_is_said(published_store: tuple[Path, Store]) -> None:
    def notes(spec: str) -> list[str]:
        report = SilentReport()
        return simulate(
            published_store[0], report, spec=spec, policies=["fixed"], grid=False, threads=1
        ).notes

    first, second = notes("digits@holdout[440:500]")
    assert "chose the policies ('digits@holdout[300:450]')" in first
    assert "set their thresholds ('digits@holdout[450:600]')" in second
    (note,) = notes("digits@holdout[500:600]")
    assert "set their thresholds" in note


def test_the_grid_holds_the_stores_own_setting_and_leaves_out_what_cannot_be(
    published_store: tuple[Path, Store], kept: Simulation
) -> None:
    assert kept.grid is not None
    points = [(point.max_false_alarm, point.clean_mutants) for point in kept.grid.points]
    assert points == [(0.05, 20), (0.1, 6), (0.1, 10)]
    assert [point.current for point in kept.grid.points] == [True, False, False]
    own = kept.grid.points[0]
    assert own.behaviour == kept.policies["calibrated"].behaviour
    assert own.hypotheses == published_store[1].calibration.policies["calibrated"].hypotheses
    left_out = [(setting.max_false_alarm, setting.clean_mutants) for setting in kept.grid.left_out]
    assert left_out == [(0.01, 6), (0.01, 10)]
    assert "needs at least 299 correctly classified images" in kept.grid.left_out[0].reason


def test_the_command_of_a_grid_point_arrives_at_it(
    published_store: tuple[Path, Store], kept: Simulation, tmp_path: Path
) -> None:
    assert kept.grid is not None
    point = kept.grid.points[1]
    assert point.command == (
        f"mutant-store calibrate {published_store[0]} --max-false-alarm 0.1 --clean-mutants 6"
    )
    copy = copy_of(published_store[0], tmp_path)
    moved = recalibrate(copy, SilentReport(), max_false_alarm=0.1, clean_mutants=6)
    assert moved.calibration.settings == CalibrationSettings(
        max_false_alarm=0.1, clean_mutants=6, evidence="label_change", own_weight=0.25
    )
    policy = moved.calibration.policies["calibrated"]
    assert isinstance(policy.test, FinitePoolRecord)
    assert (policy.test.threshold, policy.hypotheses) == (point.threshold, point.hypotheses)
    again = simulate(copy, SilentReport(), policies=["calibrated"], grid=False)
    assert again.policies["calibrated"].behaviour == point.behaviour


def test_the_store_is_not_changed(published_store: tuple[Path, Store], tmp_path: Path) -> None:
    copy = copy_of(published_store[0], tmp_path)
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in copy.rglob("*") if path.is_file()}
    simulate(copy, SilentReport(), grid=False)
    after = {path: hashlib.sha256(path.read_bytes()).digest() for path in copy.rglob("*") if path.is_file()}
    assert after == before
    assert load_store(copy).version == published_store[1].version


def some(store: Store, tmp_path: Path, *, shift: int) -> str:
    """Write rightly classified images with shifted labels, and return them as a SPEC."""
    data = load(TEST)
    right = recorded(store, TEST).correct
    labels = (data.labels[right] + shift) % 10
    np.savez(tmp_path / f"{shift}.npz", x=data.images[right], y=labels)
    return f"npz:{tmp_path / f'{shift}.npz'}"


def test_where_every_clean_image_is_classified_correctly_there_is_no_kind(
    published_store: tuple[Path, Store], tmp_path: Path
) -> None:
    path, store = published_store
    spec = some(store, tmp_path, shift=0)
    found = simulate(path, SilentReport(), spec=spec, policies=["fixed"], grid=False, threads=1)
    assert list(found.sets) == [CLEAN]
    assert found.notes == [
        "the classifier gets every clean image right: there are no wrongly classified ones"
    ]
    assert found.policies["fixed"].behaviour.outcomes.keys() == {CLEAN}
    assert set(plots(found)) == {"mutants.png", "characteristic.png"}
    arguments = ["simulate", str(path), "--data", spec, "--policy", "fixed", "--no-grid", "--threads", "1"]
    shown = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "should raise an alarm" not in shown.stdout


def test_where_none_is_that_is_refused(published_store: tuple[Path, Store], tmp_path: Path) -> None:
    path, store = published_store
    with pytest.raises(DataError, match=r"gets none of 'npz:.*' right; check"):
        simulate(path, SilentReport(), spec=some(store, tmp_path, shift=1), grid=False, threads=1)


def test_sets_are_named() -> None:
    found = suspicious_sets(["fgsm=npz:a=b.npz", " deep fool = imagefolder:x@test "])
    assert found == {"fgsm": "npz:a=b.npz", "deep fool": "imagefolder:x@test"}


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_bank_is_closed_after_recording(
    published_store: tuple[Path, Store], closed: list[BankSession], interrupted: bool
) -> None:
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    report = SilentReport(interrupt) if interrupted else SilentReport()
    with pytest.raises(KeyboardInterrupt) if interrupted else nullcontext():
        simulate(published_store[0], report, spec=TEST, policies=["fixed"], grid=False, threads=1)
    assert len(closed) == 1


def test_the_full_pool_raises_the_early_alarm_of_a_robust_mutant(
    certified_store: Path, tmp_path: Path
) -> None:
    """Here that alarm comes on every fifth image, and all others are far from the threshold."""
    store = load_store(certified_store)
    assert store.calibration.doubts is not None
    certification = kept_recordings(store)["certification"].weighted(store.calibration.doubts.weights)
    doubts, own = certification.evidence(store.policy("calibrated"))
    bound = int(np.quantile(own + doubts[:, 0], 0.8))

    def early(record: dict[str, Any]) -> None:
        test = record["policies"]["calibrated"]["test"]
        test |= {"alarms": [[1, bound]], "threshold": 10 * UNIT}

    copy = copy_of(certified_store, tmp_path)
    republish(copy, calibration=early)
    found = simulate(copy, SilentReport(), policies=["calibrated"], grid=False, threads=1)
    alarms = (own + doubts[:, 0] >= bound).mean()
    assert 0.1 < alarms < 0.3
    for outcomes in (found.reference.behaviour.outcomes, found.policies["calibrated"].behaviour.outcomes):
        assert outcomes[CLEAN].adversarial.rate == pytest.approx(alarms, abs=1e-9)
