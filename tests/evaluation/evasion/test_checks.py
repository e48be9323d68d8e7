"""Checks notice attacks that are too weak to be believed."""

import numpy as np

from evaluation.adaptive.strongest.settings import GradientAttack, Knowledge
from evaluation.evasion.blocks import Found
from evaluation.evasion.checks import checks
from evaluation.evasion.counting import Attempt
from evaluation.evasion.results import EvasionCell
from evaluation.experiment.records.intervals import counted

ANY = GradientAttack(name="any change", method="apgd")


def cell(
    knowledge: Knowledge, evading: int, *, size: float = 0.1, after: tuple[float, ...] = ()
) -> EvasionCell:
    return EvasionCell(
        attack=f"by {knowledge}",
        knowledge=knowledge,
        norm="linf",
        size=size,
        policy="5 %",
        images=100,
        fooled=counted(100, 100),
        evading=counted(evading, 100),
        after=list(after),
    )


def whole(*evaded: bool) -> Attempt:
    found = np.array([evaded])
    nothing = np.zeros((1, len(evaded), 2, 2, 1), dtype=np.uint8)
    return Attempt(ANY, 1.0, Found(found, nothing, np.zeros(found.shape, dtype=np.int64), found[0]), 9)


def holding(cells: list[EvasionCell], attempt: Attempt) -> list[bool]:
    return [check.holds for check in checks(cells, attempt, ["5 %"])]


def test_all_hold_where_who_knows_most_gets_furthest() -> None:
    cells = [cell("store", 20, after=(0.1, 0.2)), cell("method", 10), cell("answers", 20)]
    assert holding(cells, whole(True, True)) == [True] * 4


def test_an_image_that_no_change_evades_on_is_noticed() -> None:
    assert holding([cell("store", 20)], whole(True, False)) == [False, True, True, True]


def test_less_after_more_is_noticed() -> None:
    assert holding([cell("store", 20), cell("store", 19, size=0.2)], whole(True))[1] is False
    assert holding([cell("store", 20, after=(0.3, 0.2))], whole(True))[1] is False


def test_stronger_attackers_that_know_less_are_noticed() -> None:
    cells = [cell("store", 20), cell("method", 21), cell("answers", 22)]
    found = checks(cells, whole(True), ["5 %"])
    assert [check.holds for check in found] == [True, True, False, False]
    assert "by answers at 0.1, 5 %: 22.0 % against 20.0 %" in found[3].text


def test_an_evading_image_that_was_proved_is_noticed() -> None:
    proved = cell("store", 2).model_copy(update={"proved": counted(90, 100)})
    for contradicted, holds in ((0, True), (3, False)):
        last = checks([proved], whole(True), ["5 %"], contradicted)[-1]
        assert (last.name, last.holds) == ("no image that is proved evades", holds)
