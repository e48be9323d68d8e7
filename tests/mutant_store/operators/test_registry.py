import pytest

from mutant_guard.errors import ModelError
from mutant_store.operators import OPERATORS, operators_named


def test_given_networks_the_papers_four_operators_and_retraining_are_there() -> None:
    assert list(OPERATORS) == ["companion", "gf", "nai", "ns", "retrain", "robust", "ws"]
    assert all(name == operator.name for name, operator in OPERATORS.items())


def test_operators_are_found_by_name_alone_and_mixed() -> None:
    assert operators_named("ns") == [OPERATORS["ns"]]
    assert operators_named("mixed:nai,gf") == [OPERATORS["nai"], OPERATORS["gf"]]


@pytest.mark.parametrize("text", ["swap", "mixed:nai,swap", "nai,gf", "mixed:", ""])
def test_unknown_operators_are_refused_by_name(text: str) -> None:
    with pytest.raises(
        ModelError,
        match=r"no mutation operator '.*'; there are companion, gf, nai, ns, retrain, robust, ws, and mixed:",
    ):
        operators_named(text)


def test_an_operator_is_mixed_with_others() -> None:
    with pytest.raises(ModelError, match="names an operator twice"):
        operators_named("mixed:nai,gf,nai")
