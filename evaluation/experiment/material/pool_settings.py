"""Mutants that an experiment is made with."""

from dataclasses import fields
from functools import partial
from typing import Annotated, Any, Self

from annotated_types import Ge, Gt, Len
from pydantic import BeforeValidator, Field, model_validator

from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_guard.store.manifest import Frozen, Rate
from mutant_guard.store.reader import ROBUST
from mutant_store.retraining.settings import RetrainSettings
from mutant_store.robust.settings import RobustSettings

RETRAIN = "retrain"
"""Operator whose mutants are trained; its rate is a share of the neurons of every layer."""
_MIXED = "mixed:"


def _known(kind: type[RetrainSettings | RobustSettings], told: object) -> object:
    """Refuse settings that there are not, and the data, which are the model's.

    A dataclass would pass over unknown settings.
    """
    if isinstance(told, dict):
        names = {entry.name for entry in fields(kind)} - {"train_data"}
        if unknown := sorted(set(told) - names):
            raise ValueError(
                f"no setting of this training: {', '.join(unknown)}; it has {', '.join(sorted(names))}"
            )
    return told


def parts_of(operator: str) -> set[str]:
    """Return the names of the operators that make the mutants of a pool."""
    return set(operator.removeprefix(_MIXED).split(","))


def is_trained(operator: str) -> bool:
    """Check whether some mutants of a pool are trained."""
    return not parts_of(operator).isdisjoint({RETRAIN, ROBUST})


class PoolSettings(Frozen):
    """Operators × rates × seeds, a store each.

    Attributes:
        operators: names, as ``mutant-store build --operator`` takes them, ``mixed:NAME,NAME``
            among them.
        rates: mutation rates.
        main_rate: the one of them that everything but the tables over rates is measured at.
        instead: main rates of operators that have nothing to change at ``main_rate``, by operator.
        seeds: seeds, one pool each; the first one's store is the one that is served.
        mutants: number of accurate mutants a pool, without robust ones.
        sizes: number of mutants of operators that have more or fewer, by operator; without robust
            ones.
        retraining: settings with which ``retrain`` trains its mutants, from the classifier's own
            training images; its rate is ``share``, at which alone it is measured.
        robust: settings with which ``robust`` trains its mutants from these images, and their
            number; None takes the defaults.
        few: number of mutants whose summed doubts are measured as well, beside a detector that has
            no more networks.
        filter_error: value of ``mutant-store build --filter-error``.
        calibration: settings of the policies.
    """

    operators: Annotated[tuple[str, ...], Len(1)]
    rates: Annotated[tuple[Annotated[float, Gt(0)], ...], Len(1)]
    main_rate: Annotated[float, Gt(0)]
    instead: dict[str, Annotated[float, Gt(0)]] = Field(default_factory=dict)
    seeds: Annotated[tuple[int, ...], Len(1)]
    mutants: Annotated[int, Ge(2)]
    sizes: dict[str, Annotated[int, Ge(2)]] = Field(default_factory=dict)
    retraining: Annotated[RetrainSettings, BeforeValidator(partial(_known, RetrainSettings))] | None = None
    robust: Annotated[RobustSettings, BeforeValidator(partial(_known, RobustSettings))] | None = None
    few: Annotated[int, Ge(1)] | None = None
    filter_error: Rate = 1e-6
    calibration: CalibrationSettings = CalibrationSettings()

    @model_validator(mode="after")
    def _main_rate_is_one_of_them(self) -> Self:
        if self.main_rate not in self.rates:
            raise ValueError(f"main_rate {self.main_rate:g} is none of the rates {list(self.rates)}")
        return self

    @model_validator(mode="after")
    def _retraining_is_told(self) -> Self:
        retrained = any(RETRAIN in parts_of(operator) for operator in self.operators)
        if retrained and (self.retraining is None or self.retraining.share is None):
            raise ValueError("mutants by retrain need a table [pools.retraining] with at least a share")
        return self

    def main_rate_of(self, operator: str) -> float:
        """Return the rate that an operator is measured at wherever there is only one."""
        share = None if self.retraining is None else self.retraining.share
        if share is not None and RETRAIN in parts_of(operator):
            return share
        return self.instead.get(operator, self.main_rate)

    def rates_of(self, operator: str) -> list[float]:
        """Return all the rates that an operator is measured at, the main one among them."""
        main = self.main_rate_of(operator)
        return [main] if is_trained(operator) else list(dict.fromkeys((*self.rates, main)))

    def drawn_of(self, operator: str) -> int:
        """Return the number of mutants of an operator's pools that are not robust ones."""
        return self.sizes.get(operator, self.mutants)

    def mutants_of(self, operator: str) -> int:
        """Return the number of mutants of an operator's pools."""
        names = parts_of(operator)
        robust = (self.robust or RobustSettings()).mutants if ROBUST in names else 0
        return robust + (self.drawn_of(operator) if names != {ROBUST} else 0)

    def retrained(self, train: str) -> dict[str, Any]:
        """Return settings of ``retrain`` with the SPEC of its training images.

        They are as ``RetrainSettings`` takes them.
        """
        told = self.retraining or RetrainSettings()
        return {entry.name: getattr(told, entry.name) for entry in fields(told)} | {"train_data": train}
