"""What a calibration says of soft evidence. Light: the server reads it with pydantic alone."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt
from pydantic import Field

from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.decision.sequential.staged import Stage, staged
from mutant_guard.store.choices import OutputKind
from mutant_guard.store.manifest import Frozen


class DoubtsRecord(Frozen):
    """How doubts are computed: see ``Doubts``; temperatures fitted on the choice part."""

    temperature: Annotated[float, Gt(0)]
    own_temperature: Annotated[float, Gt(0)]
    own_weight: Annotated[float, Ge(0)]
    output_kind: OutputKind

    @classmethod
    def of(cls, doubts: Doubts) -> "DoubtsRecord":
        """The record of these doubts."""
        return cls(
            temperature=doubts.temperature,
            own_temperature=doubts.own_temperature,
            own_weight=doubts.own_weight,
            output_kind=doubts.output_kind,
        )

    @property
    def doubts(self) -> Doubts:
        """The doubts of this record."""
        return Doubts(self.temperature, self.own_temperature, self.own_weight, self.output_kind)


class StagedRecord(Frozen):
    """The sequential test on summed doubts, see ``staged``.

    ``threshold`` and the bounds of the ``stages``, pairs of a number of mutants and the most summed doubt with which
    an image is cleared there, are in units of 2⁻²⁰ mutants of full doubt; ``mutants`` is the most a request uses.
    """

    kind: Literal["staged"] = "staged"
    threshold: Annotated[int, Ge(1)]
    stages: list[tuple[Annotated[int, Ge(1)], Annotated[int, Ge(0)]]] = Field(default=[])
    mutants: Annotated[int, Ge(1)]
    evidence: DoubtsRecord

    def policy(self, name: str, pool: int) -> Policy:
        """The test on a pool.

        Raises:
            ValueError: the record makes no test.
        """
        stages = tuple(Stage(*entry) for entry in self.stages)
        return staged(name, self.evidence.doubts, self.threshold, stages, pool, self.mutants)
