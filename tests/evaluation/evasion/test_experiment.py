"""The whole experiment on a digits store: attacks, their union, checks, resumption and the page."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evaluation.__main__ import app
from evaluation.adaptive.strongest.settings import AttackSettings, GradientAttack, QueryAttack
from evaluation.evasion.blocks import Found, attack_block
from evaluation.evasion.config import EvasionConfig
from evaluation.evasion.counting import STRONGEST
from evaluation.evasion.experiment import EvasionExperiment
from evaluation.evasion.page import PAGE, markdown
from evaluation.evasion.results import EarlierCell, EvasionResults
from evaluation.experiment.records.intervals import counted
from evaluation.report.markdown import percent, percent_interval
from evaluation.workspace import Workspace
from mutant_guard.errors import DataError
from mutant_guard.store.reader import Store, load_store
from tests.support.demo import SilentReport
from tests.support.evasion_tables import evasion_rows

pytestmark = pytest.mark.slow

CONFIG = EvasionConfig(
    title="Digits under attack",
    data="digits@test[0:60]",
    images=12,
    sizes=(0.06, 0.15),
    false_alarms=(0.1, 0.2),
    attacks=(
        GradientAttack(name="joint", method="apgd", runs=2, steps=8, targets=4),
        GradientAttack(name="selective", method="apgd", runs=1, steps=8, targets=2, combination="selective"),
        GradientAttack(name="own mutants", method="apgd", runs=1, steps=8, targets=2, knowledge="method"),
        GradientAttack(name="few pixels", method="apgd", runs=1, steps=8, targets=2, norm="l0", sizes=(4,)),
        QueryAttack(name="square", method="square", queries=20),
    ),
    sanity_images=4,
    block=8,
)


def experiment_of(store: Store, another: Store | None, folder: Path) -> EvasionExperiment:
    return EvasionExperiment("digits", CONFIG, Path(), store, another, Workspace(folder), SilentReport())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evasion")


@pytest.fixture(scope="module")
def results(robust_store: Store, retrained_store: Path, folder: Path) -> EvasionResults:
    return experiment_of(robust_store, load_store(retrained_store), folder).run()


def rates(results: EvasionResults, attack: str, norm: str = "linf") -> dict[tuple[str, float], float]:
    return {
        (cell.policy, cell.size): cell.evading.value
        for cell in results.cells
        if (cell.attack, cell.norm) == (attack, norm)
    }


def test_the_strongest_is_the_union_of_all_attacks(results: EvasionResults) -> None:
    strongest = rates(results, STRONGEST)
    assert set(strongest) == {(policy, size) for policy in ("20 %", "10 %") for size in (0.06, 0.15)}
    for attack in ("joint", "selective", "own mutants", "square"):
        assert all(strongest[key] >= rate for key, rate in rates(results, attack).items())
    assert strongest["20 %", 0.06] <= strongest["20 %", 0.15]
    assert strongest["20 %", 0.15] <= strongest["10 %", 0.15]
    assert strongest["10 %", 0.15] > rates(results, "square")["10 %", 0.15]
    assert set(rates(results, STRONGEST, "l0")) == {("20 %", 4), ("10 %", 4)}
    (one,) = {cell.images for cell in results.cells}
    assert one == 12
    told = {cell.attack: len(cell.after) for cell in results.cells}
    assert told == {"joint": 4, "selective": 4, "own mutants": 0, "few pixels": 4, "square": 4, STRONGEST: 0}


def test_what_is_proved_stands_beside_what_evades(results: EvasionResults) -> None:
    cells = [cell for cell in results.cells if cell.proved is not None]
    assert {(cell.attack, cell.norm, cell.policy, cell.size) for cell in cells} == {
        (STRONGEST, "linf", policy, size) for policy in ("20 %", "10 %") for size in (0.06, 0.15)
    }
    shares = {(cell.policy, cell.size): cell.proved.value for cell in cells if cell.proved is not None}
    assert shares["20 %", 0.06] > 0.2
    assert shares["20 %", 0.06] >= shares["20 %", 0.15]
    assert all(cell.proved.value <= 1 - cell.evading.value for cell in cells if cell.proved is not None)


def test_attacks_are_what_they_should_be(results: EvasionResults) -> None:
    assert [check.holds for check in results.checks] == [True] * 5
    assert "100.0 % at 20 %, 100.0 % at 10 % false alarms, 4 images" in results.checks[0].text
    assert "in 4 of 4 comparisons" in results.checks[2].text


def test_finished_blocks_are_read_again(
    results: EvasionResults,
    robust_store: Store,
    retrained_store: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocks = sorted((folder / "blocks").iterdir())
    assert len(blocks) == 2 * (2 + 2 + 2 + 1 + 2) + 1
    made: list[float] = []

    def counted(settings: AttackSettings, size: float, *rest: Any) -> Found:
        made.append(size)
        return attack_block(settings, size, *rest)

    monkeypatch.setattr("evaluation.evasion.experiment.attack_block", counted)
    blocks[0].unlink()  # as if the run had been killed before
    again = experiment_of(robust_store, load_store(retrained_store), folder).run()
    assert len(made) == 1
    assert again.model_copy(update={"environment": results.environment}) == results


def test_the_page_says_all_of_it(results: EvasionResults, tmp_path: Path) -> None:
    PAGE.write(results, tmp_path)
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert page == markdown(results)
    assert "1 robust, 4 nai" in page
    assert "| L∞ 0.15 | 12 |" in page
    assert "* `square`: 20 questions an image" in page
    assert page.count("holds: ") == 5
    assert "does not hold" not in page
    (tmp_path / "report.md").unlink()
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == page
    assert not PAGE.rerender(tmp_path / "nothing")


def test_an_earlier_report_stands_beside(results: EvasionResults) -> None:
    assert "without robust mutants" not in markdown(results)
    (strongest,) = [
        cell
        for cell in results.cells
        if (cell.attack, cell.norm, cell.size, cell.policy) == (STRONGEST, "linf", 0.15, "20 %")
    ]
    before = EarlierCell(
        detector="calibrated retrain", knowledge="store", size=0.15, images=77, evading=counted(70, 77)
    )
    page = markdown(results.model_copy(update={"earlier": "digits-retrain", "earlier_cells": [before]}))
    assert "[reports/digits-retrain](../digits-retrain/report.md)" in page
    shown = [percent_interval(each) for each in (before.evading, strongest.evading)]
    assert f"| the store | L∞ 0.15 | 77 | {shown[0]} | {shown[1]} |" in page


def test_tables_of_the_pages_are_made_of_it(results: EvasionResults) -> None:
    whole = evasion_rows(results)
    assert [len(row) for row in whole] == [3] * len(whole)
    own = [row for row in whole if row[0].startswith("makes mutants of their own")]
    assert [row[1:] for row in own] == [
        [percent(rates(results, "own mutants")[policy, size]) for size in (0.06, 0.15)]
        for policy in ("20 %", "10 %")
    ]
    strongest = rates(results, STRONGEST)
    expected = ["holds the very store; robust mutant first, 10 % false alarms"]
    assert [*expected, *(percent(strongest["10 %", size]) for size in (0.06, 0.15))] in whole
    proved = [row for row in whole if "proved" in row[0]]
    assert len(proved) == 2
    assert proved == whole[-2:]
    cells = [c for c in results.cells if c.attack == STRONGEST and c.policy == "20 %" and c.proved]
    assert proved[0][1:] == [percent(cell.proved.value) for cell in cells if cell.proved]


def test_a_failed_check_stands_above_the_figures(results: EvasionResults) -> None:
    check = results.checks[2].model_copy(update={"holds": False})
    page = markdown(results.model_copy(update={"checks": [check]}))
    assert (
        f"**The figures above are not to be believed as they stand**, since a check fails: {check.name}."
        in page
    )


def test_own_mutants_need_a_store_of_the_attackers(robust_store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give --another"):
        experiment_of(robust_store, None, tmp_path)


def test_the_command_attacks_and_says_where_the_page_is(certified_store: Path, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text(
        'title = "Own"\ndata = "digits@test[0:20]"\nimages = 2\nsanity_images = 1\nsizes = [0.1]\n'
        'false_alarms = [0.2]\n[[attacks]]\nname = "square"\nmethod = "square"\nqueries = 2\n'
    )
    asked = ["adaptive", "--config", str(config), "--store", str(certified_store)]
    asked += ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    found = CliRunner().invoke(app, asked)
    assert found.exit_code == 0
    assert f"wrote {tmp_path}/out/report.md" in found.output.replace("\n", "")
    assert "# Own" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    config.write_text(config.read_text().replace("digits@test[0:20]", "mnist:{data}/mnist@test"))
    refused = CliRunner().invoke(app, [*asked, "--data", str(tmp_path / "none")])
    assert refused.exit_code == 1
    assert "give --data" in refused.output.replace("\n", " ")
