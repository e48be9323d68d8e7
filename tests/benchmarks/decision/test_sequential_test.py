"""The decision's benchmark on made-up recordings: its arithmetic against counting by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.decision import frontier
from benchmarks.decision import sequential_test as decision
from benchmarks.decision.recorded import WRONG, Pool
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.simulation import replay
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import DataError
from mutant_store.calibrating.recordings import pack

MUTANTS = 60


def recording(images: int, seed: int, *, wrong: float = 0.0, mean: float = 0.02) -> Recording:
    rng = np.random.default_rng(seed)
    correct = rng.random(images) >= wrong
    rates = np.where(correct, rng.beta(8 * mean, 8 * (1 - mean), images), rng.beta(3, 5, images))
    return Recording(rng.random((images, MUTANTS)) < rates[:, None], correct)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for seed in (0, 1):
        parts = {
            "choice": recording(400, 10 + seed),
            "certification": recording(400, 20 + seed),
            "clean": recording(600, 30 + seed, wrong=0.1),
            "fgsm": recording(200, 40 + seed, mean=0.4),
        }
        (folder / f"mnist-lenet-{seed}.safetensors").write_bytes(pack(parts))
    return folder


@pytest.fixture(scope="module")
def pool(recordings: Path) -> Pool:
    return Pool.read(recordings / "mnist-lenet-1.safetensors")


def test_a_pool_is_what_was_recorded(pool: Pool) -> None:
    assert (pool.seed, pool.size) == (1, MUTANTS)
    assert list(pool.kinds) == [WRONG, "fgsm"]
    assert len(pool.kinds[WRONG]) + len(pool.correct) == len(pool.everyone) == 600


def test_outcomes_are_the_means_of_many_replays(pool: Pool) -> None:
    policy = pool.calibrated(10).policy
    outcome, clean = pool.outcome(policy), pool.recordings["clean"]
    replays = [replay(policy, clean, seed) for seed in range(60)]
    alarms = np.mean([(state.decisions == Decision.ADVERSARIAL)[clean.correct].mean() for state in replays])
    assert outcome.false_alarm == pytest.approx(alarms, abs=0.004)
    assert outcome.clean == pytest.approx(np.mean([state.mutants.mean() for state in replays]), rel=0.03)
    attacked = replay(policy, pool.recordings["fgsm"], 0).decisions == Decision.ADVERSARIAL
    assert outcome.detection["fgsm"] == pytest.approx(attacked.mean(), abs=0.05)


def test_a_threshold_on_the_whole_pool_loses_nothing_against_itself(pool: Pool) -> None:
    everything = pool.fixed(MUTANTS)
    outcome = pool.outcome(everything.policy)
    assert outcome.detection["fgsm"] == pytest.approx((pool.kinds["fgsm"] >= everything.threshold).mean())
    assert list(outcome.loss.values()) == pytest.approx([0, 0], abs=1e-9)


def test_no_policy_takes_fewer_mutants_than_possible(pool: Pool) -> None:
    policy = pool.calibrated(10).policy
    assert 0 < pool.fewest(policy) <= pool.outcome(policy).clean + 1e-6


def test_figures_compare_with_paper_and_the_whole_pool(recordings: Path) -> None:
    pools = [Pool.read(path) for path in sorted(recordings.iterdir())]
    section = frontier.measure("mnist", "LeNet", pools, quick=True, say=lambda text: None)
    values = {figure.name: figure.value for figure in section.figures}
    paper, default = (
        [pool.outcome(policy) for pool, policy in zip(pools, policies, strict=True)]
        for policies in ([pool.paper() for pool in pools], [pool.calibrated(20).policy for pool in pools])
    )
    ratio = np.mean([outcome.clean for outcome in paper]) / np.mean([outcome.clean for outcome in default])
    assert values["mnist_paper_mutants_vs_default"] == pytest.approx(ratio)
    worst = max(np.mean([outcome.loss[kind] for outcome in default]) for kind in (WRONG, "fgsm"))
    assert values["mnist_default_worst_detection_loss"] == pytest.approx(worst)
    fast = np.mean([pool.outcome(pool.calibrated(pool.paper_cost / 21).policy).clean for pool in pools])
    assert values["mnist_fast_clean_mutants"] == pytest.approx(fast)
    assert "frontier-mnist.png" in section.pictures


@pytest.mark.slow
def test_the_command_prints_every_section(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.decision.streams._QUICK_RUNS", 200)
    result = CliRunner().invoke(app, ["decision", "--quick", "--recordings", str(recordings)])
    assert result.exit_code == 0, result.output
    figures = [json.loads(line)["figure"] for line in result.stdout.splitlines() if line.startswith("{")]
    assert {"paper_mutants_at_p1_vs_wald", "calibrated_step_1000_requests", "mnist_sharp_clean_mutants"} <= {
        *figures
    }


def test_without_recordings_it_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"python -m evaluation\.label_changes mnist-lenet"):
        decision.measure(True, tmp_path, lambda text: None)
