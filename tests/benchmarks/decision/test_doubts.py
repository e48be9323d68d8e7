"""The benchmark of tests on doubts, on made-up recordings.

The test that it serves decides as the product's does.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.decision import doubts
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.simulation import run_recorded
from mutant_guard.decision.calibration.stages import staged_policy
from mutant_guard.decision.evidence.kinds import UNIT, Doubts
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import DataError
from mutant_store.calibrating.recordings import pack

MUTANTS = 8


def recording(images: int, seed: int, scale: float = 0.02) -> Recording:
    rng = np.random.default_rng(seed)
    own = np.minimum(rng.exponential(scale, images), 1)
    each = np.clip(own[:, None] * rng.lognormal(0, 0.6, (images, MUTANTS)), 0, 1)
    soft = np.rint(each * UNIT).astype(np.int32)
    return Recording(soft > UNIT // 2, np.ones(images, np.bool_), soft, np.rint(own * UNIT).astype(np.int32))


@pytest.fixture(scope="module")
def recordings() -> dict[str, Recording]:
    return {
        "choice": recording(500, 1),
        "certification": recording(500, 2),
        "clean": recording(800, 3),
        "fgsm": recording(200, 4, scale=0.5),
    }


@pytest.fixture(scope="module")
def folder(recordings: dict[str, Recording], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings")
    (path / "doubts-mnist-lenet-3.safetensors").write_bytes(pack(recordings))
    return path


def test_the_row_that_is_served_does_what_the_product_does(
    folder: Path, recordings: dict[str, Recording]
) -> None:
    (section,) = doubts.measure(folder, lambda text: None)
    (table,) = section.tables
    rows = {(row[0], row[1]): row[2:] for row in table.rows}
    assert len(rows) == 10
    parts = {
        name: part.reordered([3, number]) for number, (name, part) in enumerate(sorted(recordings.items()))
    }
    policy = staged_policy(
        parts["choice"],
        parts["certification"],
        Doubts(1.0, 1.0, 0.25),
        max_false_alarm=0.05,
        confidence=0.95,
        clean_mutants=1.5,
    ).policy
    states = {name: run_recorded(policy, part) for name, part in parts.items()}
    alarms = {name: (state.decisions == Decision.ADVERSARIAL).mean() for name, state in states.items()}
    false_alarms, mutants, detection = rows["sum of doubts", "1/n"][:3]
    assert float(false_alarms.rstrip(" %")) / 100 == pytest.approx(alarms["clean"], abs=0.01)
    assert float(mutants) == pytest.approx(states["clean"].mutants.mean(), abs=0.05)
    assert float(detection.rstrip(" %")) / 100 == pytest.approx(alarms["fgsm"], abs=0.02)
    whole = rows["sum of doubts", "all mutants"]
    assert float(whole[1]) > 7
    score = doubts._e_process(doubts._doubts(parts["choice"]))
    share = (np.cumsum(score(doubts._doubts(parts["clean"])), axis=1).max(axis=1) >= np.log(20)).mean()
    assert f"alarms on {100 * share:.1f} % of the clean images" in table.notes[1]


def test_what_all_mutants_see_early_stages_lose_little_of(folder: Path) -> None:
    (section,) = doubts.measure(folder, lambda text: None)
    figures = {figure.name: figure for figure in section.figures}
    assert figures["doubts_mnist_lenet_worst_detection_loss"].value < 0.05
    clean = figures["doubts_mnist_lenet_clean_mutants"]
    assert clean.met == (clean.value <= 1.5)


def test_the_command_prints_a_line_a_figure(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "doubts.md"
    result = CliRunner().invoke(app, ["doubts", "--recordings", str(folder), "--out", str(out)])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith('{"figure"')]
    assert lines[0]["figure"] == "doubts_mnist_lenet_clean_mutants"
    assert "betting e-process" in out.read_text()


def test_without_recordings_it_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"make them with: python -m evaluation\.recorded_doubts"):
        doubts.measure(tmp_path, lambda text: None)
