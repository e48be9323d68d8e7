"""Which mutants an experiment is made with."""

from typing import Annotated, Self

from annotated_types import Ge, Gt, Len
from pydantic import Field, model_validator

from mutant_store.calibration_record import CalibrationSettings
from mutant_store.manifest import Frozen, Rate


class PoolSettings(Frozen):
    """Operators × rates × seeds, a store each.

    Attributes:
        operators: names, as ``mutant-store build --operator`` takes them.
        rates: mutation rates.
        main_rate: the one of them that everything but the tables over rates is measured at.
        instead: main rates of operators that have nothing to change at ``main_rate``, by operator.
        seeds: one pool a seed; the first one's store is the one that is served.
        mutants: accurate mutants a pool.
        filter_error: as ``mutant-store build --filter-error`` has it.
        calibration: what is asked of the policies.
    """

    operators: Annotated[tuple[str, ...], Len(1)]
    rates: Annotated[tuple[Annotated[float, Gt(0)], ...], Len(1)]
    main_rate: Annotated[float, Gt(0)]
    instead: dict[str, Annotated[float, Gt(0)]] = Field(default_factory=dict)
    seeds: Annotated[tuple[int, ...], Len(1)]
    mutants: Annotated[int, Ge(2)]
    filter_error: Rate = 1e-6
    calibration: CalibrationSettings = CalibrationSettings()

    @model_validator(mode="after")
    def _main_rate_is_one_of_them(self) -> Self:
        if self.main_rate not in self.rates:
            raise ValueError(f"main_rate {self.main_rate:g} is none of the rates {list(self.rates)}")
        return self

    def main_rate_of(self, operator: str) -> float:
        """The rate that an operator is measured at wherever there is only one."""
        return self.instead.get(operator, self.main_rate)
