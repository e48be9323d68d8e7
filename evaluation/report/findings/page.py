"""Section on top of the page: sentences that are made of the cells and link to them."""

from evaluation.report.cells import Cells
from evaluation.report.findings.against_paper import against_paper
from evaluation.report.findings.choice import choice
from evaluation.report.findings.headline import headline
from evaluation.report.findings.limits import limits
from evaluation.report.findings.softmax import SOFTMAX_TABLE, softmax_table
from evaluation.report.findings.trained import trained
from evaluation.report.markdown import bullets, section

FINDINGS = "findings"


def findings(cells: Cells) -> str:
    """Return the section; a sentence is left out where nothing was measured that it is about."""
    parts = {
        ("Mutants that were trained again", "trained"): bullets(trained(cells)),
        ("Against the free softmax confidence", SOFTMAX_TABLE): softmax_table(cells),
        ("Which to use", "which-to-use"): bullets(choice(cells)),
        ("What no setting catches", "not-caught"): bullets(limits(cells)),
        ("How far it agrees with the paper and with the server", "agrees"): bullets(against_paper(cells)),
    }
    blocks = [section(*head, block, level=3) for head, block in parts.items() if block]
    return section("Findings", FINDINGS, bullets(headline(cells)), *blocks)
