"""Operator of mutants that are trained against attacks on themselves; see ``robust``."""

from typing import ClassVar

from mutant_guard.store.reader import ROBUST
from mutant_store.graph.parameters import Parameters
from mutant_store.operators.given import GivenNetworks


class Robust(GivenNetworks):
    """Operator whose mutants are networks that were trained against their own worst case.

    Whoever knows the whole store has to make such a mutant confidently wrong, within the same
    change that misleads the original. (Adversarial training: Madry et al., ICLR 2018.)
    """

    name: ClassVar[str] = ROBUST
    source: ClassVar[str] = "--train-data"

    def population(self, parameters: Parameters) -> str:
        """Return the text for what robust mutants are made from."""
        return "networks trained against attacks on themselves"
