"""The folder that a report is written to."""

import re
from pathlib import Path

import pytest

from evaluation.experiment.records.results import Results
from evaluation.report.write import rerender, write
from mutant_guard.errors import DataError


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes(results: Results, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes((folder / "results.json").read_bytes())
    rerender(tmp_path)
    assert _contents(tmp_path) == _contents(folder)
    assert Results.model_validate_json((tmp_path / "results.json").read_bytes()) == results


def test_the_page_shows_all_pictures_and_no_others(folder: Path, page: str) -> None:
    assert set(re.findall(r"\]\(([\w-]+\.png)\)", page)) == {path.name for path in folder.glob("*.png")}


def test_what_is_no_longer_there_is_taken_away(results: Results, tmp_path: Path) -> None:
    (tmp_path / "adaptive.png").write_bytes(b"old")
    (tmp_path / "mine.png").write_bytes(b"kept")
    less: dict[str, list[object]] = {
        name: []
        for name in ("adaptive", "curves", "scatter", "histograms", "mutants_used", "label_change_rates")
    }
    write(results.model_copy(update=less), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cost.png",
        "mine.png",
        "report.md",
        "results.json",
    ]
    page = (tmp_path / "report.md").read_text()
    assert "daptive" not in page
    assert "adaptive.png" not in page


def test_nothing_to_render_is_said_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"results\.json cannot be read .* give the folder of an experiment"):
        rerender(tmp_path)


@pytest.mark.parametrize("content", [b"{}", b"no json", b'{"name": "x", "unheard_of": 1}'])
def test_results_of_another_release_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(DataError, match=r"not what this release writes .* run the experiment again"):
        rerender(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json"]
