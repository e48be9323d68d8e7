"""Figures typed in from the paper: a few as they stand there, and all for their form."""

import re

import pytest

from evaluation.experiment.records import paper
from evaluation.experiment.records.paper import KINDS, Paper
from evaluation.experiment.records.results import PaperDetection

MNIST, CIFAR10 = Paper("mnist"), Paper("cifar10")


@pytest.mark.parametrize(
    ("of", "operator", "rate", "column", "value", "half_width"),
    [
        (MNIST, "nai", 0.05, "normal", 3.88, 0.53),
        (MNIST, "nai", 0.05, "wrong", 32.53, 3.15),
        (MNIST, "nai", 0.05, "fgsm", 54.54, 2.80),
        (MNIST, "nai", 0.05, "jsma", 59.07, 1.95),
        (MNIST, "nai", 0.05, "cw", 27.73, 1.37),
        (MNIST, "nai", 0.05, "black-box", 53.97, 2.67),
        (MNIST, "nai", 0.05, "deepfool", 50.30, 2.24),
        (MNIST, "ns", 0.01, "normal", 0.12, 0.07),
        (CIFAR10, "gf", 0.007, "deepfool", 53.67, 1.51),
        (CIFAR10, "nai", 0.003, "normal", 2.20, 0.55),
    ],
)
def test_label_change_rates_are_those_of_tables_2_and_4(
    of: Paper, operator: str, rate: float, column: str, value: float, half_width: float
) -> None:
    found = of.rate(operator, rate, column)
    assert found is not None
    assert (found.value, found.half_width) == pytest.approx((value / 100, half_width / 100))


def test_every_row_has_every_column() -> None:
    rows = paper._RATES
    for row in rows.values():
        assert len(row.split()) == len(KINDS) == 7
        assert all(re.fullmatch(r"\d+\.\d+±\d+\.\d+", cell) for cell in row.split())
    expected = {("mnist", o, r) for o in ("nai", "gf", "ns", "ws") for r in (0.01, 0.03, 0.05)}
    expected |= {("cifar10", o, r) for o in ("nai", "gf", "ns", "ws") for r in (0.003, 0.005, 0.007)}
    assert expected - rows.keys() == {("cifar10", "ns", 0.003)}  # not in the paper
    assert rows.keys() <= expected


def test_rates_rise_with_the_mutation_rate() -> None:
    for of, rates in (("mnist", (0.01, 0.03, 0.05)), ("cifar10", (0.003, 0.005, 0.007))):
        for operator in ("nai", "gf", "ns", "ws"):
            for kind in KINDS:
                found = [
                    cell.value for rate in rates if (cell := Paper(of).rate(operator, rate, kind)) is not None
                ]
                ordered = found == sorted(found)
                # The one cell where the paper's own figures fall, and its text says nothing of it.
                assert ordered != ((of, operator, kind) == ("cifar10", "ws", "black-box")), (operator, kind)


def test_suspicious_images_are_far_from_normal_ones() -> None:
    assert MNIST.distance("nai", 0.05, "wrong") == pytest.approx(32.53 / 3.88)
    assert MNIST.distance("nai", 0.05, "normal") == 1
    assert MNIST.distance("nai", 0.02, "wrong") is None
    assert MNIST.distance("nai", 0.05, None) is None


def test_areas_are_those_of_table_5() -> None:
    assert MNIST.auroc("ns", 0.05, "cw") == 0.909
    assert MNIST.auroc("nai", 0.05, "fgsm") == 0.9744
    assert CIFAR10.auroc("ws", 0.005, "wrong") == 0.876
    assert CIFAR10.auroc("gf", 0.005, "black-box") == 0.8371
    for of, kinds in (("mnist", KINDS[1:]), ("cifar10", KINDS[1:])):
        rate = 0.05 if of == "mnist" else 0.005
        for kind in kinds:
            for operator in ("nai", "gf", "ns", "ws"):
                area = Paper(of).auroc(operator, rate, kind)
                assert area is not None
                assert 0.7 < area < 1


def test_areas_are_of_one_rate() -> None:
    assert MNIST.auroc("nai", 0.03, "fgsm") is None
    assert CIFAR10.auroc("nai", 0.05, "fgsm") is None
    assert MNIST.auroc("nai", 0.05, "normal") is None
    assert MNIST.auroc("mixed:nai,ws", 0.05, "fgsm") is None


def test_averages_are_those_of_the_text_on_figure_4() -> None:
    assert MNIST.detection("nai") == PaperDetection(
        operator="nai",
        columns=["wrong", "fgsm", "jsma", "cw", "black-box", "deepfool"],
        accuracy=0.964,
        mutants=74.1,
        normal=0.897,
    )
    assert CIFAR10.detection("ns") == PaperDetection(
        operator="ns",
        columns=["wrong", "fgsm", "jsma", "cw", "deepfool"],  # it has no black-box result there
        accuracy=0.566,
        mutants=303.0,
        normal=0.846,
    )
    assert MNIST.detection("mixed:nai,ws") is None


def test_costs_are_those_of_table_6() -> None:
    assert CIFAR10.cost("ns") == (0.5, 9.475, 283.9628)
    assert MNIST.cost("gf") == (0.3, 1.398, 91.1747)
    assert MNIST.cost("none") is None


def test_other_data_are_not_in_the_paper() -> None:
    other = Paper(None)
    assert other.rate("nai", 0.05, "normal") is None
    assert other.distance("nai", 0.05, "wrong") is None
    assert other.auroc("nai", 0.05, "fgsm") is None
    assert other.detection("nai") is None
    assert other.cost("nai") is None
