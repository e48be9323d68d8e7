"""Operator of mutants that are other classifiers of the same classes; see ``companions``."""

from typing import ClassVar

from mutant_guard.store.reader import COMPANION
from mutant_store.graph.parameters import Parameters
from mutant_store.operators.given import GivenNetworks


class CompanionOperator(GivenNetworks):
    """Operator whose mutants are classifiers that somebody else trained.

    Each has a graph, a size and preprocessing of its own. What is aimed at the original seldom
    misleads them in the same way. (One independent auxiliary network as a detector: Tan et al.,
    PID, arXiv 2506.03765.)
    """

    name: ClassVar[str] = COMPANION
    source: ClassVar[str] = "--companion"

    def population(self, parameters: Parameters) -> str:
        """Return the text for what companions are made from."""
        return "other classifiers"
