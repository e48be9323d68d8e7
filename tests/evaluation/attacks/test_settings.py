"""Settings of attacks: told apart by method, with errors that name what is wrong."""

import pytest
from pydantic import TypeAdapter, ValidationError

from evaluation.attacks.settings import AttackSettings, BlackBox, Pgd

ADAPTER: TypeAdapter[AttackSettings] = TypeAdapter(AttackSettings)
PGD = {
    "method": "pgd",
    "name": "pgd 0.2",
    "samples": 10,
    "attempts": 20,
    "epsilon": 0.2,
    "step": 0.02,
    "iterations": 40,
    "restarts": 1,
}


def test_the_method_decides_the_model() -> None:
    read = ADAPTER.validate_python(PGD)
    assert isinstance(read, Pgd)
    assert ADAPTER.validate_python(read.model_dump()) == read
    black_box = ADAPTER.validate_python(
        {
            "method": "black_box",
            "name": "black-box",
            "samples": 1,
            "attempts": 1,
            "epsilon": 0.1,
            "paper": "black-box",
            "substitute": {"architecture": "lenet"},
        }
    )
    assert isinstance(black_box, BlackBox)
    assert (black_box.substitute.seeds, black_box.substitute.step) == (150, 0.1)


@pytest.mark.parametrize(
    "change",
    [
        {"epsilon": 1.5},
        {"epsilon": 0},
        {"iterations": 0},
        {"restarts": -1},
        {"samples": 0},
        {"method": "magic"},
        {"paper": "pgd"},
        {"unknown": 1},
    ],
)
def test_nonsense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(PGD | change)
