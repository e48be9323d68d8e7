"""Ways of training robust mutants, side by side."""

import re
from pathlib import Path

import pytest

from benchmarks import robust
from evaluation.adaptive.strongest.settings import GradientAttack
from mutant_store.datasets import load
from mutant_store.robust.settings import RobustSettings


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_the_images_that_are_attacked_are_the_last_that_there_are(name: str, data_dir: Path) -> None:
    subject = robust.SUBJECTS[name]
    assert len(load(subject.attacked.format(data=data_dir))) > 2 * subject.images
    (trained,), (first,) = (
        re.findall(r"\[0:(\d+)\]|\[(\d+):", spec) for spec in (subject.train, subject.attacked)
    )
    assert max(trained) == max(first)


@pytest.mark.slow
def test_every_way_is_trained_and_attacked_once(
    digits_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = robust._Subject(
        str(digits_model.resolve()),
        "digits@train[0:600]",
        "digits@test",
        "digits@train[600:900]",
        (0.05, 0.5),
        20,
        GradientAttack(name="joint", method="apgd"),
        {"pgd": RobustSettings(learning_rate=0.01)},
    )
    monkeypatch.setitem(robust.SUBJECTS, "digits", subject)
    monkeypatch.setattr(robust, "_RATES", (0.2,))
    said: list[str] = []
    section = robust.measure("digits", tmp_path, tmp_path / "work", True, said.append)
    ((row,),) = (table.rows for table in section.tables)
    small, large = (figure.value for figure in section.figures)
    assert row[0] == "pgd"
    assert len(row) == len(section.tables[0].columns)
    assert 0 <= small <= large <= 1
    assert large > 0.5
    assert any("training 1 robust mutant" in line for line in said)

    said.clear()
    again = robust.measure("digits", tmp_path, tmp_path / "work", True, said.append)
    assert again == section
    assert not any("training" in line for line in said)
