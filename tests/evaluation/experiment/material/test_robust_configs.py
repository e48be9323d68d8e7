"""Configurations with a robust mutant ask for no less than the reports without one."""

from pathlib import Path

import pytest

from evaluation.evasion.config import read_config as read_evasion_config
from evaluation.experiment.material.config import read_config
from evaluation.experiment.records.results import Results
from tests.support.robust_experiment import OPERATOR

_ROOT = Path(__file__).parents[4]
_CONFIGS = _ROOT / "evaluation" / "configs"


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_every_row_of_the_report_without_it_is_asked_for(name: str) -> None:
    config = read_config(_CONFIGS / f"{name}-robust-detection.toml")
    before = read_config(_CONFIGS / f"{name}-retrain.toml")
    assert config.attacks == before.attacks
    assert (config.normal, config.wrong, config.seed) == (before.normal, before.wrong, before.seed)
    assert config.pools.seeds == before.pools.seeds
    assert config.pools.retraining == before.pools.retraining
    assert config.pools.drawn_of(OPERATOR) == before.pools.mutants_of("retrain")
    results = Results.model_validate_json((_ROOT / f"reports/{name}-retrain/results.json").read_bytes())
    expected = {
        (figure, cell.method.replace("retrain", OPERATOR), cell.kind): found
        for cell in results.cells
        if cell.method in {"doubt retrain", "calibrated retrain"}
        for figure, found in (("detected at 5 %", cell.detected_5), ("detected at 1 %", cell.detected_1))
        if found is not None
    }
    asked = {(str(target.figure), target.method, target.kind): target for target in config.targets}
    assert asked.keys() > expected.keys()
    for key, found in expected.items():
        prototype, reach = asked[key].prototype, asked[key].reach
        assert prototype is not None
        assert reach is not None
        assert prototype == pytest.approx(found.value, abs=1e-4)
        assert reach > found.low - 2e-4
    assert asked["mutants", f"calibrated {OPERATOR}", "normal"].reach == 1.5


def test_the_figures_that_are_to_grow_are_asked_for() -> None:
    config = read_config(_CONFIGS / "mnist-robust-detection.toml")
    asked = {(target.figure, target.method, target.kind): target.reach for target in config.targets}
    assert asked["detected at 1 %", f"doubt {OPERATOR}", "wrong"] == 0.85
    assert asked["detected at 5 %", f"doubt {OPERATOR}", "cw κ=20"] == 0.95


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_attackers_who_know_the_guard_have_a_report_of_their_own(name: str) -> None:
    config = read_config(_CONFIGS / f"{name}-robust-detection.toml")
    assert config.adaptive is None
    assert config.adaptive_report == f"{name}-robust"
    assert read_evasion_config(_CONFIGS / f"{config.adaptive_report}.toml").images > 0
