from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.interleave import Timing
from benchmarks.plot import draw
from benchmarks.results import Circumstances, markdown, summary, write
from benchmarks.sections import Section, Table
from benchmarks.sweep import Point, Row, Sweep

CIRCUMSTANCES = Circumstances(
    "2026-01-02", "A processor, 2 cores used", {"python": "3.11.7"}, 0.04, quick=False, how="By hand."
)
GOOD, BAD = Figure("good", 24.8, "x", 20), Figure("bad", 1.5, "%", 1, at_most=True)
POINTS = Point("lenet", "nai", 1, 1), Point("lenet", "nai", 10, 1)
SWEEP = Sweep("One image", "mutants", [Row(str(p.mutants), p.mutants, {"LeNet nai": p}) for p in POINTS])
TIMINGS = {POINTS[0]: Timing((0.001,)), POINTS[1]: Timing((0.004, 0.002, 0.003))}


def test_the_summary_names_what_was_missed() -> None:
    assert summary([GOOD, Figure("plain", 1, "ms")]) == "All 1 targets are met."
    assert summary([GOOD, BAD]) == "**1 of 2 targets missed**: `bad` is 1.5 %, target ≤ 1 %."
    assert summary([]) == "None of these figures has a target."


def test_the_page_holds_circumstances_tables_and_figures() -> None:
    section = Section("Mutants", [Table("Times", ["", "ms"], [["a", "3"]])], [GOOD, BAD])
    page = markdown([section], CIRCUMSTANCES)
    assert page.startswith("# Benchmarks\n\nBy hand.\n")
    assert "* 2026-01-02\n* A processor, 2 cores used; load average 0.04 before the start\n" in page
    assert "* python 3.11.7\n" in page
    assert "quick" not in page
    assert page.index("1 of 2 targets missed") < page.index("## Mutants") < page.index("### Times")
    assert "| good | 24.8× | ≥ 20× | met |" in page
    assert "| bad | 1.5 % | ≤ 1 % | **missed** |" in page


def test_a_quick_run_says_so() -> None:
    quick = Circumstances("2026-01-02", "", {}, 0, quick=True, how="")
    assert "a quick run" in markdown([], quick)


def test_the_picture_lies_beside_the_page(tmp_path: Path) -> None:
    section = Section("Cost", [SWEEP.table(TIMINGS)], [], {"cost.png": draw([SWEEP], TIMINGS)})
    write(tmp_path / "deep" / "RESULTS.md", [section], CIRCUMSTANCES)
    assert "![Cost](cost.png)" in (tmp_path / "deep" / "RESULTS.md").read_text()
    assert (tmp_path / "deep" / "cost.png").read_bytes().startswith(b"\x89PNG")


def test_a_sweep_is_a_table_of_medians_and_a_curve() -> None:
    table = SWEEP.table(TIMINGS)
    assert table.columns == ["mutants", "LeNet nai"]
    assert table.rows == [["1", "1"], ["10", "3"]]
    assert SWEEP.curve("LeNet nai", TIMINGS) == ([1, 10], [1, 3])
    (axes,) = draw([SWEEP], TIMINGS).axes
    (line,) = axes.get_lines()
    assert list(line.get_ydata()) == [1, 3]  # type: ignore[arg-type]
