"""Attacks by those who know more include those by who knows less; shifted images are counted."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.experiment.measuring.robustness import WORST, Attacked, Bools, adaptive_cells, shift_cell
from evaluation.experiment.records.results import AdaptiveCell
from evaluation.sample_set import SampleSet
from mutant_guard.decision.calibration.intervals import clopper_pearson


def _flags(text: str) -> Bools:
    return np.array([letter == "x" for letter in text])


def _set(kind: str, labels: NDArray[np.int64] | None = None) -> SampleSet:
    nowhere = np.full(5, -1)
    return SampleSet(kind, np.zeros((5, 1, 1, 1), np.uint8), nowhere if labels is None else labels, nowhere)


def _attacked(attack: str, knowledge: str, epsilon: float, fools: str) -> Attacked:
    return Attacked(attack, knowledge, epsilon, _set(f"{attack} {knowledge} {epsilon}"), _flags(fools))


_ATTACKS = [
    _attacked("pgd", "none", 0.1, "x...."),
    _attacked("joint", "method", 0.1, ".x..."),
    _attacked("joint", "store", 0.1, "..x.."),
    _attacked("pgd", "none", 0.2, "xxxxx"),
    _attacked("joint", "store", 0.2, "....."),
]
_ALARMS = {"joint store 0.1": "..x..", "pgd none 0.2": "xxx.."}


def _judge(samples: SampleSet) -> Bools:
    return _flags(_ALARMS.get(samples.kind, "....."))


@pytest.fixture(scope="module")
def cells() -> dict[tuple[str, str, str, float], AdaptiveCell]:
    found = adaptive_cells(_ATTACKS, {"guard": _judge, "none": lambda samples: np.zeros(5, dtype=bool)})
    keyed = {(cell.detector, cell.attack, cell.knowledge, cell.epsilon): cell for cell in found}
    assert len(keyed) == len(found) == 2 * (5 + 5)  # an attack each, and a worst case a knowledge and size
    return keyed


def test_every_attack_is_counted(cells: dict[tuple[str, str, str, float], AdaptiveCell]) -> None:
    cell = cells["guard", "pgd", "none", 0.2]
    assert cell.images == 5
    assert (cell.success.value, cell.evading.value, cell.robust_accuracy.value) == (1.0, 0.4, 0.6)
    assert cell.detected is not None
    exact = clopper_pearson(3, 5)
    assert (cell.detected.value, cell.detected.low, cell.detected.high) == (0.6, exact.low, exact.high)
    assert cells["guard", "joint", "store", 0.2].detected is None
    assert cells["none", "pgd", "none", 0.2].robust_accuracy.value == 0.0
    assert cells["guard", "joint", "store", 0.1].evading.value == 0.0


@pytest.mark.parametrize(
    ("detector", "knowledge", "epsilon", "success", "evading"),
    [
        ("guard", "none", 0.1, 0.2, 0.2),
        ("guard", "method", 0.1, 0.4, 0.4),  # what takes nothing counts as well
        ("guard", "store", 0.1, 0.6, 0.4),  # and what takes the method; its own is detected
        ("none", "store", 0.1, 0.6, 0.6),
        ("guard", "none", 0.2, 1.0, 0.4),
        ("guard", "store", 0.2, 1.0, 0.4),  # sizes are apart: 0.1's do not count
        ("none", "store", 0.2, 1.0, 1.0),
    ],
)
def test_who_knows_more_can_do_all_that_takes_less(
    cells: dict[tuple[str, str, str, float], AdaptiveCell],
    detector: str,
    knowledge: str,
    epsilon: float,
    success: float,
    evading: float,
) -> None:
    cell = cells[detector, WORST, knowledge, epsilon]
    assert (cell.success.value, cell.evading.value) == pytest.approx((success, evading))
    assert cell.robust_accuracy.value == pytest.approx(1 - evading)


def test_the_worst_case_is_no_better_for_the_defender(
    cells: dict[tuple[str, str, str, float], AdaptiveCell],
) -> None:
    for (detector, _, knowledge, epsilon), cell in cells.items():
        worst = cells[detector, WORST, knowledge, epsilon]
        assert worst.robust_accuracy.value <= cell.robust_accuracy.value
        assert worst.success.value >= cell.success.value


def test_shifted_images_are_counted() -> None:
    labels = np.array([3, 1, 4, 1, 5])
    cell = shift_cell(
        _set("blur", labels),
        np.array([3, 1, 4, 0, 0]),
        {"guard": lambda samples: _flags("xx..."), "other": lambda samples: _flags(".....")},
    )
    assert (cell.shift, cell.images, cell.accuracy) == ("blur", 5, 0.6)
    assert {name: alarms.value for name, alarms in cell.alarms.items()} == {"guard": 0.4, "other": 0.0}
    exact = clopper_pearson(2, 5)
    assert (cell.alarms["guard"].low, cell.alarms["guard"].high) == (exact.low, exact.high)


def test_images_of_no_class_have_no_right_label() -> None:
    predicted = np.full(5, -1)
    assert shift_cell(_set("noise"), predicted, {}).accuracy is None
    some = np.array([-1, 2, -1, 7, -1])
    assert shift_cell(_set("mixed", some), np.array([-1, 2, -1, 0, -1]), {}).accuracy == 0.5
