"""Mutation operators by name. A new one is one file and one line here."""

from mutant_store.errors import ModelError
from mutant_store.operators.base import Operator
from mutant_store.operators.nai import NeuronActivationInverse
from mutant_store.operators.ns import NeuronSwitch

OPERATORS: dict[str, Operator] = {
    NeuronActivationInverse.name: NeuronActivationInverse(),
    NeuronSwitch.name: NeuronSwitch(),
}


def operator_named(name: str) -> Operator:
    """The operator of a name.

    Raises:
        ModelError: there is none.
    """
    if name not in OPERATORS:
        raise ModelError(f"no mutation operator '{name}'; there are {', '.join(sorted(OPERATORS))}")
    return OPERATORS[name]
