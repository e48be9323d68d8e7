"""Configurations of experiments with published classifiers."""

from pathlib import Path

import pytest

from evaluation.imagenet.config import read_config
from mutant_guard.errors import DataError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["imagenet-lite0", "imagenet-lite1", "imagenet-lite2"])
def test_the_committed_ones_are_read_and_their_targets_have_kinds(name: str) -> None:
    config = read_config(ROOT / "evaluation" / "configs" / f"{name}.toml")
    kinds = {"wrong", *(attack.name for attack in config.attacks)}
    assert {target.kind for target in config.targets} <= kinds
    assert config.source(Path("/there")) == Path("/there/imagenet-samples")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"lite2"', '"lite9"', "there is no classifier 'lite9'"),
        ('store = "lite1+lite2"', 'store = "nai"', "needs a store with companions"),
        ('store = "lite1+lite2"', 'store = "else"', "there is no store 'else'"),
        ('name = "nai"', 'name = "lite1"', "names used twice: lite1"),
        ("calibrating = 500", "calibrating = 0", "calibrating"),
    ],
)
def test_others_are_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (ROOT / "evaluation" / "configs" / "imagenet-lite0.toml").read_text()
    assert old in text
    path = tmp_path / "config.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        read_config(path)
