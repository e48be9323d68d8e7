"""Configurations of the strongest attacks: those that come along, and misspelt ones."""

from pathlib import Path

import pytest

from evaluation.evasion.config import read_config
from mutant_guard.errors import DataError

CONFIGS = Path(__file__).parents[3] / "evaluation" / "configs"


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_configurations_that_come_along_attack_in_every_way(name: str) -> None:
    config = read_config(CONFIGS / f"{name}-robust.toml")
    assert config.false_alarms == (0.05, 0.01)
    assert list(config.policies()) == ["5 %", "1 %"]
    assert config.needs_another
    assert config.needs_folder
    assert config.spec(Path("/data")).startswith(("mnist:/data/mnist@", "imagefolder:/data/cifar10@"))
    assert {attack.knowledge for attack in config.attacks} == {"store", "method", "answers"}
    assert {attack.norm for attack in config.attacks} == {"linf", "l2", "l0"}


def test_certified_mutants_are_attacked_as_robust_ones_are() -> None:
    certified, robust = (read_config(CONFIGS / f"mnist-{name}.toml") for name in ("certified", "robust"))
    assert certified.attacks == robust.attacks[: len(certified.attacks)]
    assert (certified.data, certified.images, certified.sizes) == (robust.data, robust.images, robust.sizes)
    assert not certified.needs_another


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('name = "a"\nmethod = "apgd"\nstep = 3', "attacks.0.apgd.step"),
        ('name = "a"\nmethod = "pgd"', "attacks.0"),
        ('name = "a"\nmethod = "apgd"\n[[attacks]]\nname = "a"\nmethod = "square"', "names of their own"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f'title = "x"\ndata = "digits@test"\nimages = 3\nsizes = [0.1]\n[[attacks]]\n{line}\n')
    with pytest.raises(DataError, match=message):
        read_config(path)
