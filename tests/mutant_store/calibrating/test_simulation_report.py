"""Records of a simulation: sets that should raise an alarm, and ``report.json`` there and back."""

from pathlib import Path

import pytest

from mutant_guard.store.reader import Store
from mutant_store.calibrating import simulate as module
from mutant_store.calibrating.simulate import simulate
from mutant_store.calibrating.simulation_report import CLEAN, WRONG, Simulation
from tests.support.demo import SilentReport


@pytest.fixture(scope="module")
def found(published_store: tuple[Path, Store]) -> Simulation:
    """Simulate every policy, with a grid that leaves out some settings."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "GRID_FALSE_ALARMS", (0.01,))
        patched.setattr(module, "GRID_CLEAN_MUTANTS", (10.0,))
        return simulate(published_store[0], SilentReport())


def test_everything_but_clean_images_should_raise_an_alarm(found: Simulation) -> None:
    assert list(found.sets) == [CLEAN, WRONG]
    assert found.kinds == [WRONG]
    assert found.model_copy(update={"sets": {CLEAN: found.sets[CLEAN]}}).kinds == []


def test_report_json_is_read_back_as_it_was_written(found: Simulation) -> None:
    assert found.grid is not None
    assert found.grid.points
    assert found.grid.left_out
    assert Simulation.model_validate_json(found.model_dump_json(indent=1)) == found
