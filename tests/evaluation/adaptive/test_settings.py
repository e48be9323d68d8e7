"""Settings of adaptive attacks: read by their method, and refused where a key is unknown."""

import pytest
from pydantic import TypeAdapter, ValidationError

from evaluation.adaptive.settings import AttackSettings, Confident, Joint, LogitMatching, Orthogonal

ANY: TypeAdapter[AttackSettings] = TypeAdapter(AttackSettings)


@pytest.mark.parametrize("kind", [Joint, Confident, LogitMatching, Orthogonal])
def test_settings_are_told_apart_by_method(
    kind: type[Joint] | type[Confident] | type[LogitMatching] | type[Orthogonal],
) -> None:
    settings = kind(epsilon=0.2, iterations=7)
    assert ANY.validate_json(ANY.dump_json(settings)) == settings
    assert type(ANY.validate_python(settings.model_dump())) is kind


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "joint"},
        {"method": "joint", "epsilon": 0.003},
        {"method": "joint", "epsilon": 0.1, "mutants": 0},
        {"method": "joint", "epsilon": 0.1, "momentum": 1.0},
        {"method": "confident", "epsilon": 0.1, "mutants": 8},
        {"method": "guess", "epsilon": 0.1},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ANY.validate_python(wrong)
