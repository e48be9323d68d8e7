"""Settings of baselines as a configuration file gives them."""

import tomllib

import pytest
from pydantic import ValidationError

from evaluation.baselines import BaselineSettings, baselines


def test_settings_reach_the_baselines() -> None:
    text = "perturbation_draws = 7\nensemble_members = 4\nsqueezing_bits = 5"
    settings = BaselineSettings(**tomllib.loads(text))
    passes = {detector.name: detector.forward_passes for detector in baselines(settings)}
    assert passes["input perturbation"] == 8
    assert passes["deep ensemble"] == 4
    assert len(passes) == len(baselines(settings))


def test_some_of_them_may_do() -> None:
    settings = BaselineSettings(only=("deep ensemble", "softmax confidence"))
    assert [detector.name for detector in baselines(settings)] == ["softmax confidence", "deep ensemble"]
    with pytest.raises(ValueError, match="no baseline luck"):
        baselines(BaselineSettings(only=("softmax confidence", "luck")))


def test_neighbours_have_to_be_among_the_references() -> None:
    with pytest.raises(ValidationError):
        BaselineSettings(lid_references=20)
