"""The whole experiment on a digits store: campaigns, their counts, resumption and the page."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from evaluation.__main__ import app
from evaluation.queries.campaign import campaign
from evaluation.queries.config import Limits, QueriesConfig, Scenario
from evaluation.queries.counting import ALL, quantile
from evaluation.queries.experiment import QueriesExperiment
from evaluation.queries.page import PAGE, markdown
from evaluation.queries.results import QueryCell, QueryResults
from evaluation.queries.settings import HopSkipJump, Square
from evaluation.workspace import Workspace
from service.probing.policy import QueryPolicy
from tests.support.demo import SilentReport

CONFIG = QueriesConfig(
    title="Digits asked",
    data="digits@test",
    images=4,
    budget=400,
    marks=(100,),
    patience=10,
    limits=Limits(linf=0.1, l2=0.8),
    entries=1000,
    block=3,
    attacks=(
        HopSkipJump(name="hop, skip", method="hopskipjump", first_samples=30),
        Square(name="square", method="square", steps=300),
        Square(name="adaptive", method="square", steps=300, adaptive=True),
    ),
    scenarios=(
        Scenario(name="nothing"),
        Scenario(name="refused", memory=QueryPolicy.REFUSE, frames=4),
        Scenario(
            name="both", guard=True, memory=QueryPolicy.FLAT, attacks=("adaptive",), images=1, budget=40
        ),
    ),
)


def run(store: Path, folder: Path, report: SilentReport) -> QueryResults:
    return QueriesExperiment("digits", CONFIG, Path(), store, Workspace(folder), report).run()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("queries")


@pytest.fixture(scope="module")
def report() -> SilentReport:
    return SilentReport()


@pytest.fixture(scope="module")
def results(demo_store: Path, folder: Path, report: SilentReport) -> QueryResults:
    return run(demo_store, folder, report)


@pytest.fixture(scope="module")
def cells(results: QueryResults) -> dict[tuple[str, str], QueryCell]:
    return {(cell.scenario, cell.attack): cell for cell in results.cells}


def test_all_attacks_of_a_scenario_are_counted(
    cells: dict[tuple[str, str], QueryCell], report: SilentReport
) -> None:
    names = ["hop, skip", "square", ALL]
    assert list(cells) == [
        *(("nothing", n) for n in names),
        *(("refused", n) for n in names),
        ("both", "adaptive"),
    ]
    assert [cell.images for cell in cells.values()] == [4, 4, 8, 4, 4, 8, 1]
    alone = cells["nothing", ALL]
    assert alone.evaded.value > 0.5
    assert (alone.seen, alone.unseen, alone.seen_median, alone.refusals) == (None, None, None, 0)
    assert 0 < alone.after[100] <= alone.evaded.value
    assert sum(alone.ends.values()) == 8
    assert alone.ends["evaded"] == round(8 * alone.evaded.value)
    assert [step for step in report.steps if step.startswith("the other blocks, in about ")]
    assert "a first block of each attack: both" in report.steps


def test_the_memory_stops_campaigns_that_evade_without_it(cells: dict[tuple[str, str], QueryCell]) -> None:
    stopped, free = cells["refused", "hop, skip"], cells["nothing", "hop, skip"]
    assert (stopped.evaded.value, stopped.ends) == (0, {"refused": 4})
    assert free.evaded.value > 0.5
    assert stopped.seen is not None
    assert stopped.seen.value == 1
    assert stopped.seen_median is not None
    assert stopped.seen_median < 20 < free.queries
    assert stopped.refusals >= 10
    assert cells["both", "adaptive"].budget == 40
    assert cells["both", "adaptive"].queries <= 40


def test_finished_blocks_are_read_again(
    results: QueryResults, demo_store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = sorted((folder / "blocks").iterdir())
    assert len(blocks) == 2 * 2 * 2 + 1
    gone, content = blocks[3], blocks[3].read_bytes()
    gone.unlink()  # as if the run had been killed before
    campaigns: list[int] = []

    def counted(*arguments: Any) -> Any:
        campaigns.append(arguments[-2].budget)
        return campaign(*arguments)

    monkeypatch.setattr("evaluation.queries.experiment.campaign", counted)
    again = run(demo_store, folder, SilentReport())
    assert 1 <= campaigns.count(400) <= 3
    assert gone.read_bytes() == content
    assert again.model_copy(update={"environment": results.environment}) == results


def test_the_page_says_all_of_it(results: QueryResults, tmp_path: Path) -> None:
    PAGE.write(results, tmp_path)
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert page == markdown(results)
    assert "| square | L∞ 0.1 | 75.0 (" in page
    assert "* `both`: label and verdict; campaigns get label and verdict of their first query" in page
    assert "* `adaptive`: square: share 0.3, steps 300, adaptive, up to 5 redraws" in page
    assert "Over HTTP" not in page
    (tmp_path / "report.md").unlink()
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == page
    assert not PAGE.rerender(tmp_path / "nothing")


def test_what_is_never_reached_has_no_quantile() -> None:
    numbers = np.array([5, -1, 3, 9])
    assert [quantile(numbers, share) for share in (0.25, 0.5, 0.75, 0.95)] == [3, 5, 9, None]


def test_the_command_asks_and_says_where_the_page_is(demo_store: Path, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text(
        'title = "Own"\ndata = "digits@test[0:80]"\nimages = 1\nbudget = 5\nlimits = { linf = 0.3, l2 = 1 }\n'
        'attacks = [{ name = "square", method = "square" }]\nscenarios = [{ name = "nothing" }]\n'
    )
    asked = [
        "queries",
        "--config",
        str(config),
        "--out",
        str(tmp_path / "out"),
        "--work",
        str(tmp_path / "work"),
    ]
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 1
    assert "give --store" in refused.output.replace("\n", " ")
    found = CliRunner().invoke(app, [*asked, "--store", str(demo_store)])
    assert found.exit_code == 0
    assert f"wrote {tmp_path}/out/report.md" in found.output.replace("\n", "")
    assert "# Own" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
