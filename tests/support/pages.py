"""The pages of the documentation, and what stands in them."""

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
    """The text of a page by its path in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def rows(text: str, marker: str) -> list[list[str]]:
    """Rows of the table behind a marker, its header left out."""
    start = text.index(f"<!-- {marker} -->")
    lines = text[start : text.index("\n\n", start)].splitlines()[3:]
    return [[part.strip() for part in line.strip("|").split("|")] for line in lines]


def anchors(path: Path) -> set[str]:
    """What links may name in a page: its headings, in lower case with hyphens, and anchors of its own."""
    text = path.read_text(encoding="utf-8")
    titles = re.findall(r"(?m)^#+ (.*)$", text)
    named = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    return named | set(re.findall(r'<a id="([^"]+)"></a>', text))
