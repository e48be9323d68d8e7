"""Pictures of a simulation: any number of policies and kinds, and refusals."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mutant_guard.store.reader import Store
from mutant_store.calibrating import simulate as module
from mutant_store.calibrating import simulation_plots
from mutant_store.calibrating.simulate import simulate
from mutant_store.calibrating.simulation_plots import plots
from mutant_store.calibrating.simulation_report import WRONG, PolicyReport, Simulation
from mutant_store.cli.app import app
from tests.support.demo import SilentReport


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def kept(published_store: tuple[Path, Store]) -> Simulation:
    """Simulate on the certification part, on a small grid without the store's own setting."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "GRID_FALSE_ALARMS", (0.01, 0.1))
        patched.setattr(module, "GRID_CLEAN_MUTANTS", (6.0, 10.0))
        return simulate(published_store[0], SilentReport())


@pytest.mark.parametrize("kinds", [1, 8])
def test_plots_of_one_policy_and_of_many_kinds_are_drawn(kept: Simulation, kinds: int) -> None:
    assert kept.grid is not None

    def more(policy: PolicyReport) -> PolicyReport:
        wrong, used = policy.behaviour.outcomes[WRONG], policy.mutants_used[WRONG]
        names = [f"kind {number}" for number in range(kinds - 1)]
        behaved = policy.behaviour.model_copy(
            update={"outcomes": policy.behaviour.outcomes | dict.fromkeys(names, wrong)}
        )
        distributions = policy.mutants_used | dict.fromkeys(names, used)
        return policy.model_copy(update={"behaviour": behaved, "mutants_used": distributions})

    paper = more(kept.policies["paper"])
    sets = dict.fromkeys(paper.mutants_used, kept.sets[WRONG])
    points = [point.model_copy(update={"behaviour": paper.behaviour}) for point in kept.grid.points]
    drawn = plots(
        kept.model_copy(
            update={
                "policies": {"paper": paper},
                "sets": sets,
                "grid": kept.grid.model_copy(update={"points": points}),
            }
        )
    )
    assert set(drawn) == {"mutants.png", "characteristic.png", "frontier.png"}
    assert all(content.startswith(b"\x89PNG") for content in drawn.values())


def test_without_matplotlib_that_is_said_at_once(
    published_store: tuple[Path, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation_plots, "find_spec", lambda name: None)
    shown = run(published_store[0], "--out", tmp_path / "out")
    assert shown.exit_code == 1
    assert shown.stderr == ("error: plots need matplotlib: install mutant-guard[build], or leave out --out\n")
    assert not (tmp_path / "out").exists()
    assert run(published_store[0], "--no-grid", "--policy", "fixed").exit_code == 0
