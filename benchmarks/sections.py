"""Results of a benchmark: tables for people, figures for machines, pictures."""

from dataclasses import dataclass, field

from matplotlib import figure as matplotlib_figure
from rich import box
from rich import table as rich_table
from rich.markup import escape

from benchmarks.figures import Figure

_COLOURS = {"met": "green", "missed": "red"}


@dataclass(frozen=True)
class Table:
    """Rows of text under a title, and notes below them."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)

    def rich(self) -> rich_table.Table:
        """Return the table for the console."""
        table = rich_table.Table(
            title=escape(self.title),
            caption="\n".join(map(escape, self.notes)) or None,
            title_justify="left",
            caption_justify="left",
            box=box.SIMPLE_HEAD,
        )
        for position, column in enumerate(self.columns):
            table.add_column(escape(column), justify="right" if position else "left")
        for row in self.rows:
            table.add_row(*(_coloured(cell) for cell in row))
        return table

    def markdown(self) -> str:
        """Return the table for a page: a heading, the table, the notes.

        A missed target stands out.
        """
        rule = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = [_line(cells) for cells in (self.columns, rule, *self.rows)]
        notes = [f"{note}\n" for note in self.notes]
        return "\n".join([f"### {self.title}\n", *lines, "", *notes])


@dataclass(frozen=True)
class Section:
    """All that one benchmark measured; ``pictures`` are by the name of their file."""

    title: str
    tables: list[Table]
    figures: list[Figure]
    pictures: dict[str, matplotlib_figure.Figure] = field(default_factory=dict)


def held(figure: Figure) -> str:
    """Return a cell with a figure and, where it has a target, whether it meets the target."""
    return f"{figure.shown} ({figure.goal}: {figure.verdict})" if figure.goal else figure.shown


def figures_table(figures: list[Figure]) -> Table:
    """Return a table of all figures with their targets."""
    rows = [[figure.name, figure.shown, figure.goal, figure.verdict] for figure in figures]
    return Table("All figures", ["figure", "value", "target", ""], rows)


def _coloured(cell: str) -> str:
    for word, colour in _COLOURS.items():
        if cell == word or cell.endswith(f": {word})"):
            return f"[{colour}]{escape(cell)}[/]"
    return escape(cell)


def _line(cells: list[str]) -> str:
    shown = [cell.replace("|", "\\|").replace("missed", "**missed**") for cell in cells]
    return f"| {' | '.join(shown)} |"
