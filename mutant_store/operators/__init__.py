"""Mutation operators by name; a new one takes one file and one line here."""

from collections.abc import Sequence

from mutant_guard.errors import ModelError
from mutant_store.operators.base import Operator
from mutant_store.operators.companion import CompanionOperator
from mutant_store.operators.gf import GaussianFuzzing
from mutant_store.operators.nai import NeuronActivationInverse
from mutant_store.operators.ns import NeuronSwitch
from mutant_store.operators.retrain import Retrain
from mutant_store.operators.robust import Robust
from mutant_store.operators.ws import WeightShuffling

OPERATORS: dict[str, Operator] = {
    CompanionOperator.name: CompanionOperator(),
    GaussianFuzzing.name: GaussianFuzzing(),
    NeuronActivationInverse.name: NeuronActivationInverse(),
    NeuronSwitch.name: NeuronSwitch(),
    Retrain.name: Retrain(),
    Robust.name: Robust(),
    WeightShuffling.name: WeightShuffling(),
}

_MIXED = "mixed:"


def operators_named(text: str) -> list[Operator]:
    """Return the operator of a name, or the operators of ``mixed:NAME,NAME…``.

    The operators of a mixture share a pool equally.

    Raises:
        ModelError: there is no operator of that name, or one is named twice.
    """
    names = text.removeprefix(_MIXED).split(",") if text.startswith(_MIXED) else [text]
    for name in names:
        if name not in OPERATORS:
            raise ModelError(
                f"no mutation operator '{name}'; there are {', '.join(sorted(OPERATORS))}, "
                "and mixed:NAME,NAME for a pool of several"
            )
    if len(set(names)) < len(names):
        raise ModelError(f"'{text}' names an operator twice; name each once")
    return [OPERATORS[name] for name in names]


def name_of(operators: Sequence[Operator]) -> str:
    """Return the name under which ``operators_named`` knows these operators, at least one."""
    return (_MIXED if len(operators) > 1 else "") + ",".join(operator.name for operator in operators)
