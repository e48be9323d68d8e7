"""Candidates for the mutants of one operator."""

from dataclasses import dataclass

import numpy as np

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.pool import Mutant
from mutant_store.bank.builder import BankBuilder
from mutant_store.operators.base import Operator


@dataclass(frozen=True, eq=False)
class Candidates:
    """Mutants of an operator by number, and banks of them, on any machine.

    Attributes:
        builder: builder of the banks.
        operator: the operator.
        seed: seed of the draws.
        rate: mutation rate.
        beside: number of banks that run at a time on a machine.
    """

    builder: BankBuilder
    operator: Operator
    seed: int
    rate: float
    beside: int

    def draw(self, number: int) -> Mutant:
        """Draw a mutant from the operator, the rate, the seed and the number alone."""
        rng = np.random.default_rng([self.seed, number])
        return Mutant(self.operator.name, self.operator.draw(self.builder.parameters, self.rate, rng))

    def load(self, pool: list[Mutant]) -> BankSession:
        """Return a bank of some mutants, on one thread."""
        return self.builder.build(pool).session(threads=1, beside=self.beside)
