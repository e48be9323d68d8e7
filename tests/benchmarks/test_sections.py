from rich.console import Console

from benchmarks.figures import Figure
from benchmarks.sections import Table, figures_table, held

TABLE = Table("Times", ["", "ms [1]"], [["a|b", "3"], ["c", "4"]], ["A note."])


def shown(table: Table) -> str:
    console = Console(width=80, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(table.rich())
    return capture.get()


def test_a_page_gets_a_heading_the_rows_and_the_notes() -> None:
    assert TABLE.markdown() == (
        "### Times\n\n|  | ms [1] |\n| --- | ---: |\n| a\\|b | 3 |\n| c | 4 |\n\nA note.\n"
    )


def test_a_console_gets_the_same_and_brackets_are_no_markup() -> None:
    text = shown(TABLE)
    assert all(part in text for part in ("Times", "ms [1]", "a|b", "A note."))


def test_a_cell_says_how_its_figure_stands_to_its_target() -> None:
    assert held(Figure("f", 24.8, "x", 20)) == "24.8× (≥ 20×: met)"
    assert held(Figure("f", 4, "x", 20)) == "4× (≥ 20×: missed)"
    assert held(Figure("f", 4, "x")) == "4×"


def test_missed_targets_stand_out() -> None:
    figures = [Figure("good", 24.8, "x", 20), Figure("bad", 4, "x", 20), Figure("plain", 1, "ms")]
    table = figures_table(figures)
    assert table.rows == [
        ["good", "24.8×", "≥ 20×", "met"],
        ["bad", "4×", "≥ 20×", "missed"],
        ["plain", "1 ms", "", ""],
    ]
    assert "| bad | 4× | ≥ 20× | **missed** |" in table.markdown()
    console = Console(width=80, highlight=False, color_system="standard", force_terminal=True)
    with console.capture() as capture:
        console.print(table.rich())
    assert "\x1b[31mmissed" in capture.get()
    assert "\x1b[32mmet" in capture.get()
