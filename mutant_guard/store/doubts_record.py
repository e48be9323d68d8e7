"""Records of a calibration on soft evidence.

Its imports are light: the server reads them with pydantic alone.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import Field

from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.decision.sequential.staged import Alarm, Stage, staged
from mutant_guard.store.choices import OutputKind
from mutant_guard.store.manifest import Frozen


class DoubtsRecord(Frozen):
    """Parameters of the doubts, see ``Doubts``; temperatures and energy are fitted on the choice part."""

    temperature: Annotated[float, Gt(0)]
    own_temperature: Annotated[float, Gt(0)]
    own_weight: Annotated[float, Ge(0)]
    output_kind: OutputKind
    temperatures: list[Annotated[float, Gt(0)]] = Field(default=[])
    weights: list[Annotated[float, Gt(0), Le(1)]] = Field(default=[])
    companions: Annotated[int, Ge(0)] = 0
    energy: float = 0.0
    energy_spread: Annotated[float, Ge(0)] = 0.0
    beside: Annotated[float, Ge(0)] = 0.0

    @classmethod
    def of(cls, doubts: Doubts) -> "DoubtsRecord":
        """Return the record of these doubts."""
        return cls(
            temperature=doubts.temperature,
            own_temperature=doubts.own_temperature,
            own_weight=doubts.own_weight,
            output_kind=doubts.output_kind,
            temperatures=list(doubts.temperatures),
            weights=list(doubts.weights),
            companions=doubts.companions,
            energy=doubts.energy,
            energy_spread=doubts.energy_spread,
            beside=doubts.beside,
        )

    @property
    def doubts(self) -> Doubts:
        """Doubts of this record."""
        return Doubts(
            self.temperature,
            self.own_temperature,
            self.own_weight,
            self.output_kind,
            temperatures=tuple(self.temperatures),
            weights=tuple(self.weights),
            companions=self.companions,
            energy=self.energy,
            energy_spread=self.energy_spread,
            beside=self.beside,
        )


class StagedRecord(Frozen):
    """Sequential test on summed doubts, see ``staged``.

    Each entry of ``stages`` is a pair of a number of mutants and a bound: an image whose summed
    doubt is at most the bound is cleared there. Each entry of ``alarms`` is such a pair too: an image
    whose summed doubt is at least the bound is adversarial there. ``threshold`` and these bounds are
    in units of 2⁻²⁰ mutants of full doubt. ``mutants`` is the most that a request uses.
    """

    kind: Literal["staged"] = "staged"
    threshold: Annotated[int, Ge(1)]
    stages: list[tuple[Annotated[int, Ge(1)], Annotated[int, Ge(0)]]] = Field(default=[])
    alarms: list[tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]]] = Field(default=[])
    mutants: Annotated[int, Ge(1)]
    evidence: DoubtsRecord

    def policy(self, name: str, pool: int) -> Policy:
        """Return the test on a pool.

        Args:
            name: name of the policy.
            pool: number of mutants.

        Raises:
            ValueError: the record makes no test.
        """
        stages = tuple(Stage(*entry) for entry in self.stages)
        alarms = tuple(Alarm(*entry) for entry in self.alarms)
        return staged(name, self.evidence.doubts, self.threshold, stages, pool, self.mutants, alarms)
