"""Configurations of the attacks by queries: those that come along, and misspelt ones."""

from pathlib import Path

import pytest

from evaluation.queries.config import read_config
from mutant_guard.errors import DataError

CONFIGS = Path(__file__).parents[3] / "evaluation" / "configs"
PLAIN = {"hopskipjump", "boundary", "geoda", "square", "nes", "simba"}


@pytest.mark.parametrize("name", ["mnist", "cifar10", "imagenet"])
def test_configurations_that_come_along_ask_in_every_way(name: str) -> None:
    config = read_config(CONFIGS / f"queries-{name}.toml")
    assert config.budget == 10_000
    assert config.needs_folder
    assert config.of_folder(Path("/data")).startswith(
        ("mnist:/data/", "imagefolder:/data/", "/data/imagenet")
    )
    by_name = {scenario.name: scenario for scenario in config.scenarios}
    for scenario in ("nothing", "guard", "fingerprints, refused", "both, refused", "both, flat"):
        assert {attack.method for attack in config.attacks_of(by_name[scenario])} == PLAIN
    adaptive = config.attacks_of(by_name["adaptive, both, refused"])
    assert {attack.method for attack in adaptive} == {"hopskipjump", "square", "nes"}
    slow = by_name["both, refused, five an hour"]
    assert slow.pause * 5 == config.seconds
    assert config.rules(slow).pause == slow.pause
    assert config.limit("l2").size == config.limits.l2
    assert config.memory(by_name["nothing"]) == {}
    single = config.memory(by_name["both, refused, no videos"])
    assert single == config.memory(slow) | {"query_frames": 14}
    assert single["query_memory"] == "refuse"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('data = "digits@test"\nbudgets = 3', "budgets"),
        ("", "give data, or published"),
        (
            'data = "digits@test"\nhttp = { scenarios = ["b"], attacks = ["a"] }',
            "no attack or scenario named b",
        ),
        (
            'data = "digits@test"\nhttp = { scenarios = ["slow"], attacks = ["a"] }',
            "without pauses: not 'slow'",
        ),
        (
            'published = { original = "lite0", companions = ["lite1"], photographs = "x", calibrating = 5 }\n'
            'http = { scenarios = ["one"], attacks = ["a"] }',
            "leave out http",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        f'title = "x"\nimages = 3\nlimits = {{ linf = 0.1, l2 = 1 }}\n{line}\n'
        'attacks = [{ name = "a", method = "square" }]\nscenarios = [{ name = "one" }, { name = "slow", pause = 1 }]\n'
    )
    with pytest.raises(DataError, match=message):
        read_config(path)
