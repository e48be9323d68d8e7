"""Pages of the documentation, and their contents."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "models/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


def page(name: str) -> str:
    """Return the text of a page by its path in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def rows(text: str, marker: str) -> list[list[str]]:
    """Return the rows of the table after a marker, without its header."""
    start = text.index(f"<!-- {marker} -->")
    lines = text[start : text.index("\n\n", start)].splitlines()[3:]
    return [[part.strip() for part in line.strip("|").split("|")] for line in lines]


def anchors(path: Path) -> set[str]:
    """Return what links may name in a page.

    These are its headings, in lower case with hyphens, and anchors of its own.
    """
    text = path.read_text(encoding="utf-8")
    titles = re.findall(r"(?m)^#+ (.*)$", text)
    named = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    return named | set(re.findall(r'<a id="([^"]+)"></a>', text))
