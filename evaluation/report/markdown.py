"""Markdown as GitHub reads it: tables, sections with anchors, figures with their intervals."""

from collections.abc import Iterable, Sequence

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import PaperValue

MISSING = "–"
"""Content of a cell that has no figure."""
_NORMS = {"linf": "L∞", "l2": "L2", "l0": "pixels"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1) -> str:
    """Return a table.

    The first ``text`` columns are words, the others figures, set to the right.
    """
    lines = [head, ["---"] * text + ["---:"] * (len(head) - text), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(content: str) -> str:
    return " ".join(content.split()).replace("|", "\\|") or MISSING


def section(title: str, anchor: str, *parts: str, level: int = 2) -> str:
    """Return a headed part that ``link`` leads to; empty parts are left out."""
    heading = f'<a id="{anchor}"></a>\n\n{"#" * level} {title}'
    return "\n\n".join([heading, *(part for part in parts if part)])


def details(summary: str, *parts: str) -> str:
    """Return parts that the reader unfolds; nothing where there are none."""
    shown = [part for part in parts if part]
    if not shown:
        return ""
    return "\n\n".join([f"<details><summary>{summary}</summary>", *shown, "</details>"])


def bullets(lines: Iterable[str]) -> str:
    """Return a list."""
    return "\n".join(f"* {line}" for line in lines)


def link(anchor: str, text: str = "table") -> str:
    """Return a link within the page."""
    return f"[{text}](#{anchor})"


def picture(name: str, description: str) -> str:
    """Return a picture beside the page."""
    return f"![{description}]({name})"


def code(name: str) -> str:
    """Return a name that is typed as it stands."""
    return f"`{name}`"


def listed(names: Sequence[str]) -> str:
    """Return names as in ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun, as in ``1 image``, ``2 images``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def number(value: float | None, digits: int = 3) -> str:
    """Return a figure, rounded."""
    return MISSING if value is None else f"{value:.{digits}f}"


def plain(value: float | None, figures: int = 3) -> str:
    """Return a figure of a number of significant digits, whatever its size.

    Examples are 0.0123, 4.56, 789, 12,345.
    """
    if value is None:
        return MISSING
    if abs(value) >= 10 ** (figures - 1):
        return f"{value:,.0f}"
    text = f"{value:.{figures}g}"
    return text if "e" not in text else f"{value:.1e}"


def of_range(size: float) -> str:
    """Return a share of the pixel range; of up to 16 of its 255 levels, where these are whole, as such."""
    levels = round(255 * size)
    return f"{levels}/255" if 1 <= levels <= 16 and abs(levels - 255 * size) < 1e-3 else plain(size)


def change(norm: str, size: float) -> str:
    """Return the size of a change: a length in ``l2``, pixels in ``l0``, else a share of the pixel range."""
    return f"{_NORMS[norm]} {of_range(size) if norm == 'linf' else plain(size)}"


def interval(figure: Interval | None, digits: int = 3) -> str:
    """Return a figure with its interval, as in ``0.974 (0.968–0.980)``."""
    if figure is None:
        return MISSING
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f}–{figure.high:.{digits}f})"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share in per cent, as in ``2.7 %``."""
    return MISSING if share is None else f"{100 * share:.{digits}f} %"


def percent_interval(share: Interval | None, digits: int = 1) -> str:
    """Return a share with its interval, as in ``71.2 (68.0–74.1) %``."""
    if share is None:
        return MISSING
    value, low, high = (100 * part for part in (share.value, share.low, share.high))
    return f"{value:.{digits}f} ({low:.{digits}f}–{high:.{digits}f}) %"


def percent_around(share: Interval | None, digits: int = 1) -> str:
    """Return a share with half its interval, as in ``2.7 ± 0.3 %``.

    The wider side counts where the interval is not symmetric.
    """
    if share is None:
        return MISSING
    half = max(share.high - share.value, share.value - share.low)
    return f"{100 * share.value:.{digits}f} ± {100 * half:.{digits}f} %"


def paper_percent(paper: PaperValue | None, digits: int = 1) -> str:
    """Return the paper's figure, with its interval where it has one."""
    if paper is None:
        return MISSING
    if paper.half_width is None:
        return percent(paper.value, digits)
    return f"{100 * paper.value:.{digits}f} ± {100 * paper.half_width:.{digits}f} %"
