"""``mutant-store calibrate`` and ``simulate``: their output, their files, and their refusals."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from mutant_guard.store.calibration_record import CalibrationSettings, PolicyRecord
from mutant_guard.store.reader import Store, load_store
from mutant_store.calibrating import simulate as module
from mutant_store.calibrating.simulate import REFERENCE
from mutant_store.calibrating.simulation_report import CLEAN, Simulation
from mutant_store.cli.app import app
from tests.support.versions import copy_of


@pytest.fixture
def copy(published_store: tuple[Path, Store], tmp_path: Path) -> Path:
    return copy_of(published_store[0], tmp_path)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write pictures of noise, and return them as a SPEC."""
    path = tmp_path_factory.mktemp("noise") / "noise.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
    np.savez(path, x=pixels, y=np.arange(50) % 10)
    return f"npz:{path}"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)], env={"COLUMNS": "200"})


def test_calibrate_says_what_came_of_it(copy: Path) -> None:
    arguments = ["calibrate", str(copy), "--max-false-alarm", "0.1", "--clean-mutants", "12"]
    shown = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    store = load_store(copy)
    assert store.calibration.settings == CalibrationSettings(
        max_false_alarm=0.1, clean_mutants=12, evidence="label_change", own_weight=0.25
    )
    assert f"version {store.version}" in shown.stdout
    calibrated: PolicyRecord = store.calibration.policies["calibrated"]
    assert calibrated.certificate is not None
    seen = f"{calibrated.certificate.alarms} of {calibrated.certificate.images}"
    assert f"≤ 0.1 with 95% confidence ({seen})" in shown.stdout


def test_calibrate_refuses_in_one_line(copy: Path) -> None:
    shown = CliRunner().invoke(app, ["calibrate", str(copy), "--max-false-alarm", "0.001"])
    assert shown.exit_code == 1
    lines = shown.stderr.splitlines()
    assert lines[-1].startswith("error: a false-alarm rate of 0.001 with 95% confidence needs")
    assert all(line.startswith("  • ") for line in lines[:-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "guess"], "no policy 'guess'; it has calibrated, fixed, paper"),
        (["--suspicious", "fgsm"], "'fgsm' is not NAME=SPEC; write for example fgsm=npz:fgsm.npz"),
        (["--suspicious", "=npz:a"], "is not NAME=SPEC"),
        (["--suspicious", "a=digits@test", "--suspicious", "a=npz:b"], "'a' is given twice"),
        (["--suspicious", "clean=digits@test"], "'clean': that name stands for images of --data"),
        (["--suspicious", "wrongly classified=digits@test"], "that name stands for images of --data"),
        (["--suspicious", "a=magic:b"], "unknown kind of data 'magic'"),
        (["--suspicious", "a=npz:gone.npz"], "gone.npz"),
        (["--data", "digits@train"], "trained this classifier"),
        (["--data", "digits@holdout"], "filtered the mutants"),
        (["--data", "digits@test[5:5]"], "is empty"),
        (["--data", "npz:classes.npz"], "classes the model does not name: cat, dog"),
        (["--data", "npz:empty.npz"], "0 images"),
        (["--suspicious", "a=npz:empty.npz"], "0 images"),
        (["--out", "classes.npz"], "--out classes.npz is no folder (File exists); choose another"),
    ],
)
def test_bad_input_is_said_in_one_line(
    published_store: tuple[Path, Store],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.zeros((2, 8, 8), np.uint8)
    np.savez("classes.npz", x=pixels, y=np.arange(2), classes=["cat", "dog"])
    np.savez("empty.npz", x=pixels[:0], y=np.arange(0))
    shown = run(published_store[0], "--no-grid", *arguments)
    assert shown.exit_code == 1
    lines = shown.stderr.splitlines()
    assert lines[-1].startswith("error: ")
    assert message in lines[-1]
    assert all(line.startswith("  • ") for line in lines[:-1])
    assert shown.stdout == ""


def test_no_store_is_said(tmp_path: Path) -> None:
    assert "no such store; make one with mutant-store build" in run(tmp_path / "gone").stderr


def test_simulate_prints_tables_and_writes_the_report(
    published_store: tuple[Path, Store], noise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRID_FALSE_ALARMS", (0.01, 0.1))
    monkeypatch.setattr(module, "GRID_CLEAN_MUTANTS", (6.0,))
    path, out = published_store[0], tmp_path / "new" / "report"
    shown = run(path, "--suspicious", f"noise={noise}", "--threads", 1, "--out", out)
    assert shown.exit_code == 0, shown.output
    found = Simulation.model_validate_json((out / "report.json").read_bytes())
    assert found.grid is not None
    rows = [line.split() for line in shown.stdout.splitlines() if line.strip()]
    assert shown.stdout.startswith("note: no --data: ")
    clean = found.policies["calibrated"].behaviour
    rate = f"{clean.false_alarms.rate:.1%}"
    mutants = f"{clean.outcomes[CLEAN].mean_mutants:.1f}"
    (row,) = [row for row in rows if row[0] == "calibrated" and row[1] == rate and mutants in row]
    assert row[2] == f"({100 * clean.false_alarms.low:.1f}–{100 * clean.false_alarms.high:.1f})"
    assert sum(REFERENCE in line for line in shown.stdout.splitlines()) == 3
    (marked,) = [row for row in rows if row[0] == "▶"]
    assert marked[1:3] == ["0.05", "20"]
    assert "left out 1 of 3 settings: a false-alarm rate of 0.01" in shown.stdout
    assert f"mutant-store calibrate {path} --max-false-alarm X --clean-mutants Y" in shown.stdout
    written = {"report.json", "mutants.png", "characteristic.png", "frontier.png"}
    assert {entry.name for entry in out.iterdir()} == written
    assert all(f"wrote {out / name}" in shown.stdout for name in written)
    for name in written - {"report.json"}:
        with Image.open(out / name) as picture:
            assert min(picture.size) >= 400
            assert picture.convert("L").getextrema() == (0, 255)
