"""The page on top: what the cells say, in sentences that are made of them and link to them."""

from evaluation.report.cells import Cells
from evaluation.report.choice import choice
from evaluation.report.limits import limits
from evaluation.report.markdown import section
from evaluation.report.softmax import against_softmax

FINDINGS = "findings"


def findings(cells: Cells) -> str:
    """The section; where nothing was measured that a sentence is about, it is left out."""
    parts = {
        "Against the free softmax confidence": against_softmax(cells),
        "Which to use, and what it costs": choice(cells),
        "What it does not do": limits(cells),
    }
    blocks = [
        f"**{title}**\n\n" + "\n".join(f"* {line}" for line in lines)
        for title, lines in parts.items()
        if lines
    ]
    return section("Findings", FINDINGS, *blocks)
