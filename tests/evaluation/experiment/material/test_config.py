"""What an experiment can be told, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evaluation.adaptive.settings import Confident, Joint
from evaluation.experiment.material.config import AdaptiveSettings, Config, Explanation, read_config
from evaluation.experiment.records.paper import KINDS
from mutant_guard.errors import DataError
from tests.support.experiment import config_text

_CONFIGS = Path(__file__).parents[4] / "evaluation" / "configs"


@pytest.mark.parametrize(
    "name",
    sorted(
        path.stem
        for path in _CONFIGS.glob("*.toml")
        if not path.stem.startswith(("imagenet", "queries"))
        and not {"robust", "certified"} & set(path.stem.split("-"))
    ),
)
def test_the_committed_configurations_load(name: str) -> None:
    config = read_config(_CONFIGS / f"{name}.toml")
    assert config.paper == (None if "retrain" in name else "cifar10" if "cifar10" in name else "mnist")
    columns = [attack.paper for attack in config.attacks if attack.paper is not None]
    assert len(columns) == len(set(columns)), "two attacks stand for one column of the paper"
    assert set(columns) <= set(KINDS)
    assert 1.0 in config.rhos  # what the paper's averages are of
    if config.adaptive is not None:
        assert config.pools.operators[0] in {"nai", "retrain"}  # adaptive attackers know no other
        for epsilon in config.adaptive.epsilons:
            assert len(config.adaptive.at(epsilon)) == len(config.adaptive.attacks)


def test_those_that_are_written_of_are_there() -> None:
    for name in ("quick", "mnist", "cifar10", "mnist-retrain", "cifar10-retrain"):
        config = read_config(_CONFIGS / f"{name}.toml")
        assert config.baselines is not None
        assert config.adaptive is not None


def test_the_whole_experiments_have_the_papers_attacks() -> None:
    for name in ("mnist", "cifar10"):
        config = read_config(_CONFIGS / f"{name}.toml")
        assert [attack.paper for attack in config.attacks if attack.paper] == list(KINDS[2:])
        assert set(config.pools.operators) == {"nai", "gf", "ns", "ws"}


def test_data_lie_below_a_folder(config: Config) -> None:
    assert config.spec("test", Path("/data")) == "digits@test"
    below = config.model_copy(update={"data": "mnist:{data}/mnist"})
    assert below.spec("holdout", Path("/data")) == "mnist:/data/mnist@holdout"


def test_kinds_have_their_column_of_the_paper(config: Config) -> None:
    columns = {kind: config.paper_column(kind) for kind in ("normal", "wrong", "fgsm", "pgd 51/255", "?")}
    assert columns == {"normal": "normal", "wrong": "wrong", "fgsm": "fgsm", "pgd 51/255": None, "?": None}


def test_adaptive_attacks_are_made_at_a_size() -> None:
    settings = AdaptiveSettings(
        images=3,
        epsilons=(0.1, 0.2),
        attacks=({"method": "joint", "iterations": 7}, {"method": "confident"}),
    )
    assert settings.at(0.2) == [Joint(epsilon=0.2, iterations=7), Confident(epsilon=0.2)]
    assert settings.at(0.1)[0] == Joint(epsilon=0.1, iterations=7)


@pytest.mark.parametrize(
    "changes",
    [
        {"attacks": [{"method": "unheard of"}]},
        {"attacks": [{"method": "joint", "steps": 3}]},
        {"attacks": [{"iterations": 3}]},
        {"attacks": []},
        {"epsilons": [0.001]},  # less than one level of 8 bits
        {"epsilons": [0.1, 1.5]},
        {"epsilons": []},
        {"images": 0},
    ],
)
def test_adaptive_attacks_that_cannot_be_made_are_refused_when_read(changes: dict[str, Any]) -> None:
    values = {"images": 3, "epsilons": [0.1], "attacks": [{"method": "joint"}]}
    AdaptiveSettings.model_validate(values)
    with pytest.raises(ValidationError):
        AdaptiveSettings.model_validate(values | changes)


def test_an_explanation_covers_what_its_patterns_match() -> None:
    one = Explanation(table="AUROC", operator="n*", kind="pgd *", direction="above", text="why")
    assert one.covers("AUROC", "nai", "pgd 0.1", "above")
    assert not one.covers("detection", "nai", "pgd 0.1", "above")
    assert not one.covers("AUROC", "ws", "pgd 0.1", "above")
    assert not one.covers("AUROC", "nai", "fgsm", "above")
    assert not one.covers("AUROC", "nai", "pgd 0.1", "below")
    assert Explanation(text="all").covers("AUROC", "ws", "fgsm", "below")
    with pytest.raises(ValidationError):
        Explanation(text="")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "Digits, in brief"', "", r"title: Field required"),
        ("mutants = 24", "mutants = 1", r"pools\.mutants: "),
        ('method = "pgd"', 'method = "psychic"', r"attacks\.1: .*psychic"),
        ("normal = 60", "normale = 60", r"normale: Extra inputs"),
        ("restarts = 0", "restarts = 0\nlucky = true", r"attacks\.1\.pgd\.lucky: Extra inputs"),
        ("lid_references = 20", "lid_references = 5", r"baselines: .*lid_references must be more"),
        ("epsilons = [0.1]", "epsilons = [2.0]", r"adaptive\.epsilons\.0: "),
        ('paper = "mnist"', 'paper = "imagenet"', r"paper: "),
        ("rhos = [1.0, 1.5]", "rhos = [0.0]", r"rhos\.0: "),
        ("normal = 60", "normal = 0", r"normal: "),
        ('text = "these are digits"', "", r"explanations\.0\.text: Field required"),
        (
            '["nai", "ws", "ns"]',
            '["ws", "nai"]',
            r"the whole: adaptive attacks .*put one of them first",
        ),
        ('name = "pgd 51/255"', 'name = "normal"', r"the whole: attacks need .*used twice: normal"),
    ],
)
def test_what_is_refused_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    path, text = tmp_path / "a.toml", config_text(Path("model.onnx"))
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=rf"a\.toml: {said}"):
        read_config(path)


def test_what_is_no_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    for content in (b"= 3", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is no TOML file"):
            read_config(path)
    with pytest.raises(DataError, match=r"cannot be read .*evaluation/configs/ has some"):
        read_config(tmp_path / "none.toml")


def test_the_folder_stands_for_one_name_in_braces_alone(config: Config) -> None:
    there = Path("there")
    assert not config.needs_folder
    found = config.model_copy(update={"data": "npz:{data}/{x}.npz", "other": "mnist:{data}@test"})
    assert found.needs_folder
    assert found.spec("test", there) == "npz:there/{x}.npz@test"
    assert found.other_spec(there) == "mnist:there@test"
    assert config.model_copy(update={"other": "mnist:{data}"}).needs_folder
    assert config.model_copy(update={"other": None}).other_spec(there) is None
