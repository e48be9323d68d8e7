import json

import pytest

from benchmarks.figures import Figure, milliseconds, quantity


@pytest.mark.parametrize(
    ("value", "target", "at_most", "met"),
    [
        (24.8, 20, False, True),
        (20, 20, False, True),
        (19.9, 20, False, False),
        (0.9, 1, True, True),
        (1, 1, True, True),
        (1.01, 1, True, False),
        (5, None, False, None),
    ],
)
def test_a_target_is_met_on_its_own_side(
    value: float, target: float | None, at_most: bool, met: bool | None
) -> None:
    figure = Figure("f", value, "x", target, at_most)
    assert figure.met is met
    assert figure.verdict == {True: "met", False: "missed", None: ""}[met]


def test_one_line_for_machines() -> None:
    line = Figure("nai_lenet_vs_eager", 24.83219, "x", 20).json()
    assert line == '{"figure": "nai_lenet_vs_eager", "value": 24.83, "unit": "x", "target": 20, "met": true}'
    only_reported = json.loads(Figure("peak", 151.0, "GFLOP/s").json())
    assert only_reported["target"] is None
    assert only_reported["met"] is None


def test_numbers_have_three_digits_and_their_unit() -> None:
    assert quantity(24.832, "x") == "24.8×"
    assert quantity(0.84712, "%") == "0.847 %"
    assert quantity(12345.6, "ms") == "12,346 ms"
    assert quantity(0, "") == "0"
    assert milliseconds(0.0031) == "3.1"


def test_the_goal_says_its_direction() -> None:
    assert Figure("f", 1, "x", 1.6).goal == "≥ 1.6×"
    assert Figure("f", 1, "%", 10, at_most=True).goal == "≤ 10 %"
    assert Figure("f", 1, "%").goal == ""
