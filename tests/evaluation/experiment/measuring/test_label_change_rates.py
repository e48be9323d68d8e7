"""Tables of one operator at one rate, from label change rates that are given."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from evaluation import metrics
from evaluation.experiment.measuring.label_change_rates import LabelChangeTables, rates_of
from evaluation.experiment.records.intervals import resampled
from evaluation.experiment.records.paper import Paper
from evaluation.experiment.records.record import Interval
from evaluation.metrics import Estimate
from mutant_guard.decision.calibration.recording import Recording

_COLUMNS = {"normal": "normal", "fgsm": "fgsm", "mine": None}


@pytest.fixture
def rates() -> dict[str, NDArray[np.float64]]:
    """Two pools of 20 mutants: 40 normal images, 30 and 25 suspicious ones."""
    rng = np.random.default_rng(0)
    return {
        kind: rng.binomial(20, share, (2, count)) / 20
        for kind, share, count in (("normal", 0.1, 40), ("fgsm", 0.5, 30), ("mine", 0.2, 25))
    }


@pytest.fixture
def tables(rates: dict[str, NDArray[np.float64]]) -> LabelChangeTables:
    return LabelChangeTables("nai", 0.05, rates, _COLUMNS, Paper("mnist"))


def test_rates_are_of_images_under_pools() -> None:
    first = Recording(np.array([[True, False], [False, False], [True, True]]), np.ones(3, dtype=bool))
    second = Recording(~first.changes, first.correct)
    assert rates_of([first, second]).tolist() == [[0.5, 0, 1], [0.5, 1, 0]]


def test_means_are_over_images_and_pools(
    tables: LabelChangeTables, rates: dict[str, NDArray[np.float64]]
) -> None:
    cells = {cell.kind: cell for cell in tables.means()}
    assert list(cells) == ["normal", "fgsm", "mine"]
    for kind, cell in cells.items():
        assert (cell.operator, cell.rate, cell.images) == ("nai", 0.05, rates[kind].shape[1])
        assert cell.mean.value == pytest.approx(rates[kind].mean())
        assert cell.per_pool == pytest.approx([rates[kind][0].mean(), rates[kind][1].mean()])
        half = 2.576 * rates[kind].mean(axis=0).std() / rates[kind].shape[1] ** 0.5  # 99 %
        assert (cell.mean.high - cell.mean.low) / 2 == pytest.approx(half, rel=0.15)
    assert cells["normal"].paper is not None
    assert cells["normal"].paper.value == pytest.approx(0.0388)
    assert cells["mine"].paper is None


def test_distances_are_from_normal_images(
    tables: LabelChangeTables, rates: dict[str, NDArray[np.float64]]
) -> None:
    cells = {cell.kind: cell for cell in tables.distances()}
    assert list(cells) == ["fgsm", "mine"]
    for kind, cell in cells.items():
        assert cell.distance.value == pytest.approx(rates[kind].mean() / rates["normal"].mean())
        assert cell.distance.low < cell.distance.value < cell.distance.high
    assert cells["fgsm"].paper == pytest.approx(54.54 / 3.88)
    assert cells["mine"].paper is None


def test_areas_are_the_mean_of_the_pools(
    tables: LabelChangeTables, rates: dict[str, NDArray[np.float64]]
) -> None:
    cells = {cell.kind: cell for cell in tables.aurocs()}
    assert list(cells) == ["fgsm", "mine"]
    for kind, cell in cells.items():
        truth = np.repeat([0, 1], [rates["normal"].shape[1], rates[kind].shape[1]])
        each = [
            roc_auc_score(truth, np.concatenate([rates["normal"][pool], rates[kind][pool]]))
            for pool in (0, 1)
        ]
        assert cell.per_pool == pytest.approx(each)
        assert cell.auroc.value == pytest.approx(np.mean(each), abs=1e-6)
    assert cells["fgsm"].paper == 0.9744
    assert cells["mine"].paper is None


def test_histograms_count_every_image_under_every_pool() -> None:
    rates = {"normal": np.array([[0.01, 0.01, 0.05], [0.04, 0.5, 0.9]])}
    (found,) = LabelChangeTables("ws", 0.05, rates, {"normal": "normal"}, Paper(None)).histograms()
    assert len(found.shares) == 25
    expected = np.zeros(25)
    expected[[0, 1, 12, 22]] = np.array([2, 2, 1, 1]) / 6  # bins of 0.04, whatever the rates
    assert found.shares == pytest.approx(expected.tolist())
    assert (found.operator, found.kind) == ("ws", "normal")
    (ends,) = LabelChangeTables(
        "ws", 0.05, {"normal": np.array([[0.0, 1.0]])}, {"normal": None}, Paper(None)
    ).histograms()
    assert (ends.shares[0], ends.shares[-1]) == (0.5, 0.5)


def test_an_interval_keeps_its_figures() -> None:
    assert resampled(Estimate(0.5, 0.4, 0.7)) == Interval(value=0.5, low=0.4, high=0.7)
    assert metrics.mean(np.ones(3)) == Estimate(1.0, 1.0, 1.0)
