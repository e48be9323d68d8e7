"""Stores with soft evidence: their doubts are their mutants', and every command works on them."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.simulation import run_recorded
from mutant_guard.decision.evidence.kinds import UNIT
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import DataError, StoreError
from mutant_guard.store.calibration_record import CalibrationRecord, PolicyRecord
from mutant_guard.store.doubts_record import DoubtsRecord, StagedRecord
from mutant_guard.store.reader import RECORDINGS, Store, load_store
from mutant_store.bank.export import open_mutants
from mutant_store.calibrating.clean_images import CleanImages, load_images
from mutant_store.calibrating.recalibrate import recalibrate
from mutant_store.calibrating.recordings import record, unpack
from mutant_store.calibrating.simulate import simulate
from mutant_store.calibrating.simulation_plots import plots
from mutant_store.cli.app import app
from tests.support.demo import SilentReport, build_digits_store
from tests.support.versions import copy_of

TEST = "digits@test[0:120]"


@pytest.fixture(scope="module")
def store(retrained_store: Path) -> Store:
    return load_store(retrained_store)


@pytest.fixture(scope="module")
def images(store: Store) -> CleanImages:
    return load_images(store, TEST)


def doubts_of(store: Store) -> DoubtsRecord:
    found = store.calibration.doubts
    assert found is not None
    return found


def staged(record: PolicyRecord) -> StagedRecord:
    assert isinstance(record.test, StagedRecord)
    return record.test


def probabilities(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64) / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def recorded(store: Store, images: CleanImages) -> Recording:
    doubts, mutants = doubts_of(store).doubts, store.manifest.mutants
    return record(store.session(threads=1), mutants, images.inputs, images.labels, lambda done: None, doubts)


@pytest.mark.parametrize("made", ["retrained_store", "mixed_store"])
def test_recorded_doubts_are_those_of_the_exported_mutants(
    made: str, images: CleanImages, request: pytest.FixtureRequest
) -> None:
    store = load_store(request.getfixturevalue(made))
    found, doubts = recorded(store, images), doubts_of(store)
    assert found.doubts is not None
    assert found.own_doubts is not None
    mutants, labels = open_mutants(store), None
    for number in range(store.manifest.mutants + 1):
        session = onnxruntime.InferenceSession(mutants.model(number).SerializeToString())
        (scores,) = session.run(None, {session.get_inputs()[0].name: images.inputs[:]})
        if labels is None:
            labels = scores.argmax(axis=1)
        temperature = doubts.temperature if number else doubts.own_temperature
        expected = 1 - probabilities(scores, temperature)[np.arange(len(labels)), labels]
        mine = found.doubts[:, number - 1] if number else found.own_doubts
        np.testing.assert_allclose(mine / UNIT, expected, atol=2e-4)
        if number:
            assert (found.changes[:, number - 1] == (scores.argmax(axis=1) != labels)).all()


def test_temperatures_fit_the_choice_images(store: Store) -> None:
    """Other temperatures make the true labels of these images less likely."""
    choice = load_images(store, store.manifest.data.choice.spec)
    everyone = np.arange(store.manifest.mutants + 1)
    session = store.session(threads=1)
    features, count = session.features(choice.inputs[:]), len(choice.inputs)
    scores = session.scores(features, np.tile(np.arange(count), 5), np.repeat(everyone, count))
    truth = np.tile(choice.labels, 4)

    def loss(temperature: float) -> float:
        mine = probabilities(scores[count:], temperature)[np.arange(len(truth)), truth]
        return float(-np.log(mine).mean())

    best = doubts_of(store).temperature
    assert loss(best) < min(loss(best * 0.9), loss(best * 1.1))


def test_the_kept_recordings_give_the_figures_of_the_calibration(store: Store) -> None:
    kept = unpack(store.path / RECORDINGS)
    served = kept["certification"].reordered(store.manifest.seed)
    for name in ("calibrated", "fixed"):
        policy, written = store.policy(name), store.calibration.policies[name]
        state = run_recorded(policy, served)
        alarms = state.decisions == Decision.ADVERSARIAL
        assert written.certificate is not None
        assert alarms[served.correct].sum() == written.certificate.alarms == written.false_alarms.count
        assert alarms.sum() == written.alarms.count
        assert written.undecided.count == 0
        assert written.mean_mutants == pytest.approx(state.mutants.mean())
        assert written.p99_mutants == int(np.quantile(state.mutants, 0.99, method="inverted_cdf"))
        assert (written.hypotheses, written.error_bounds) == (None, None)
    assert store.calibration.settings.evidence == "soft"
    assert store.calibration.policies["calibrated"].mean_mutants < 2 < store.manifest.mutants


def test_the_record_survives_a_round_trip(store: Store) -> None:
    again = CalibrationRecord.model_validate_json(store.calibration.model_dump_json())
    assert again == store.calibration
    assert staged(again.policies["calibrated"]).evidence == doubts_of(store)


def test_it_is_calibrated_anew_on_what_is_kept(retrained_store: Path, tmp_path: Path) -> None:
    copy = copy_of(retrained_store, tmp_path)
    before = load_store(copy)
    same = recalibrate(copy, SilentReport())
    assert same.calibration == before.calibration
    heavier = recalibrate(copy, SilentReport(), own_weight=2.0, max_false_alarm=0.2)
    assert staged(heavier.calibration.policies["calibrated"]).evidence.own_weight == 2.0
    assert heavier.calibration.policies["calibrated"].certificate is not None
    counted = recalibrate(copy, SilentReport(), evidence="label_change", max_false_alarm=0.2)
    assert set(counted.calibration.policies) == {"calibrated", "fixed", "paper"}
    assert counted.policy("calibrated").hypotheses.high <= 4
    assert counted.calibration.settings.budget == 20
    soft = recalibrate(copy, SilentReport(), evidence="soft")
    assert staged(soft.calibration.policies["calibrated"]).stages


def test_it_is_calibrated_anew_on_other_images(retrained_store: Path, tmp_path: Path) -> None:
    copy = copy_of(retrained_store, tmp_path)
    new = recalibrate(copy, SilentReport(), spec="digits@test", max_false_alarm=0.1)
    assert doubts_of(new) != doubts_of(load_store(retrained_store))
    assert new.manifest.data.choice.spec.startswith("digits@test[0:")
    assert new.policy("calibrated").evidence.unit == UNIT


def test_any_pool_can_give_doubts_if_there_are_images_to_record_them_on(
    demo_store: Path, digits_model: Path, tmp_path: Path
) -> None:
    copy = copy_of(demo_store, tmp_path)
    with pytest.raises(DataError, match="keeps no doubts to calibrate on; give clean images with --data"):
        recalibrate(copy, SilentReport(), evidence="soft")
    soft = recalibrate(copy, SilentReport(), evidence="soft", spec="digits@test", max_false_alarm=0.1)
    assert soft.policy("calibrated").evidence.unit == UNIT
    asked = load_store(demo_store).calibration.settings.model_copy(update={"evidence": "soft"})
    built = build_digits_store(digits_model, tmp_path / "built", mutants=10, calibration=asked)
    assert built.policy("calibrated").evidence.unit == UNIT
    assert built.policy("paper").evidence.unit == 1


@pytest.mark.parametrize("spec", [None, TEST])
def test_it_is_simulated(retrained_store: Path, store: Store, spec: str | None, tmp_path: Path) -> None:
    noise = tmp_path / "noise.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(noise, x=pixels, y=np.arange(40) % 10)
    found = simulate(retrained_store, SilentReport(), spec=spec, suspicious=[f"noise=npz:{noise}"], threads=1)
    report = found.policies["calibrated"]
    assert (report.hypotheses, report.characteristic) == (None, None)
    assert report.threshold == pytest.approx(
        staged(store.calibration.policies["calibrated"]).threshold / UNIT / 4
    )
    assert sum(report.mutants_used["noise"].probabilities) == pytest.approx(1)
    # An immediate alarm loses nothing. A stage may clear images that all mutants together would
    # not.
    assert (
        report.behaviour.outcomes["noise"].adversarial.count
        <= found.reference.behaviour.outcomes["noise"].adversarial.count
    )
    assert found.grid is not None
    current = [point for point in found.grid.points if point.current]
    assert [point.clean_mutants for point in current] == [1.5]
    assert current[0].behaviour == report.behaviour
    pictures = plots(found)
    assert {"mutants.png", "frontier.png"} <= set(pictures)


def test_the_grid_arrives_where_its_command_does(retrained_store: Path, tmp_path: Path) -> None:
    found = simulate(retrained_store, SilentReport(), threads=1)
    assert found.grid is not None
    point = next(each for each in found.grid.points if not each.current)
    copy = copy_of(retrained_store, tmp_path)
    moved = recalibrate(
        copy, SilentReport(), max_false_alarm=point.max_false_alarm, clean_mutants=point.clean_mutants
    )
    assert staged(moved.calibration.policies["calibrated"]).threshold == point.threshold


def test_nobody_but_its_owner_can_read_a_store(retrained_store: Path, tmp_path: Path) -> None:
    copy = copy_of(retrained_store, tmp_path)
    recalibrate(copy, SilentReport(), max_false_alarm=0.1)
    for store in (retrained_store, copy):
        version = load_store(store).path
        assert version.stat().st_mode & 0o777 == 0o700
        files = [store / "CURRENT", *version.iterdir()]
        assert {file.name: file.stat().st_mode & 0o777 for file in files} == dict.fromkeys(
            (file.name for file in files), 0o600
        )


def test_a_store_of_another_user_is_refused_with_the_remedy(
    retrained_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root can read every file, so the test makes the operating system's refusal itself."""

    def refused(path: Path, most: int) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("mutant_guard.store.reader.read_regular", refused)
    with pytest.raises(
        StoreError, match="cannot be read by this user: a store is a secret of whoever built it"
    ):
        load_store(retrained_store)


def test_inspect_shows_the_stages(retrained_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(app, ["inspect", str(retrained_store)], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "doubts of" in shown.output
    assert "after 1" in shown.output
