"""What detectors' scores come to: thresholds of clean images, areas, curves, operating points."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from evaluation.experiment.measuring import methods
from evaluation.experiment.measuring.detectors import FREE, OURS, KindScores, ScoredDetector
from evaluation.experiment.measuring.verdicts import Verdicts

Scores = NDArray[np.float64]


@pytest.fixture(scope="module")
def detector() -> ScoredDetector:
    """Two pools; what it says of normal images differs by kind, as with one trained on the kind."""
    rng = np.random.default_rng(0)

    def scores(shift: float, count: int) -> KindScores:
        return KindScores(
            rng.normal(shift / 4, 1, (2, 60)), rng.normal(shift, 1, (2, count)), rng.normal(0, 1, (2, 200))
        )

    return ScoredDetector("some", FREE, "a note", 3.0, {"fgsm": scores(2, 50), "cw": scores(0.5, 40)})


def _thresholds(scores: KindScores, kept: int) -> Scores:
    """Of either pool: the largest calibration score but ``kept``."""
    return np.sort(scores.calibration, axis=1)[:, -1 - kept][:, None]


def test_an_alarm_is_above_the_threshold_of_its_pool() -> None:
    calibration = np.array([np.arange(100.0), np.arange(100.0) + 1000])
    scores = np.array([[94.0, 94.5, 2000.0], [94.0, 1094.0, 1095.0]])
    assert methods.alarms(scores, calibration, 0.05).tolist() == [[False, True, True], [False, False, True]]
    assert methods.alarms(calibration, calibration, 0.05).sum(axis=1).tolist() == [5, 5]


def test_a_row_tells_what_the_thresholds_hold(detector: ScoredDetector) -> None:
    row = methods.method(detector, 1.25)
    assert (row.name, row.family, row.note, row.forward_passes, row.milliseconds) == (
        "some",
        FREE,
        "a note",
        3.0,
        1.25,
    )
    for found, kept in ((row.false_alarms_1, 2), (row.false_alarms_5, 10)):
        each = [(scores.normal > _thresholds(scores, kept)).mean() for scores in detector.kinds.values()]
        assert found is not None
        assert found.value == pytest.approx(np.mean(each))
        assert each[0] != each[1]
        assert found.low <= found.value <= found.high


def test_cells_are_at_thresholds_of_calibration_images(detector: ScoredDetector) -> None:
    cells = {cell.kind: cell for cell in methods.cells(detector)}
    assert list(cells) == ["fgsm", "cw"]
    for kind, cell in cells.items():
        scores = detector.kinds[kind]
        at_1, at_5 = scores.kind > _thresholds(scores, 2), scores.kind > _thresholds(scores, 10)
        assert cell.method == "some"
        assert cell.detected_1 is not None
        assert (cell.detected_1.value, cell.detected_5.value) == pytest.approx((at_1.mean(), at_5.mean()))
        truth = np.repeat([0, 1], [60, scores.kind.shape[1]])
        areas = [
            roc_auc_score(truth, np.concatenate([scores.normal[pool], scores.kind[pool]])) for pool in (0, 1)
        ]
        assert cell.auroc is not None
        assert cell.auroc.value == pytest.approx(np.mean(areas), abs=1e-6)
        normal = scores.normal > _thresholds(scores, 10)
        weights = np.where(truth == 0, 1 / 60, 1 / scores.kind.shape[1])
        matthews = [
            matthews_corrcoef(truth, np.concatenate([normal[pool], at_5[pool]]), sample_weight=weights)
            for pool in (0, 1)
        ]
        assert cell.matthews == pytest.approx(np.mean(matthews))
    assert cells["fgsm"].detected_5.value > cells["cw"].detected_5.value


def test_curves_rise_to_one_and_are_the_mean_of_the_pools(detector: ScoredDetector) -> None:
    for curve in methods.curves(detector):
        scores = detector.kinds[curve.kind]
        assert curve.method == "some"
        assert (curve.false_alarms[0], curve.false_alarms[-1]) == (0, 1)
        assert curve.detected == sorted(curve.detected)
        assert curve.detected[-1] == 1
        nothing = [(high > low.max()).mean() for low, high in zip(scores.normal, scores.kind, strict=True)]
        assert curve.detected[0] == pytest.approx(np.mean(nothing))
        at = int(np.searchsorted(curve.false_alarms, 0.1))
        few = int(curve.false_alarms[at] * 60)
        levels = np.sort(scores.normal, axis=1)[:, -1 - few][:, None]
        assert curve.detected[at] == pytest.approx((scores.kind > levels).mean())


def _verdicts(adversarial: list[int], mutants: list[int]) -> Verdicts:
    alarms = np.array(adversarial, dtype=np.bool_)
    none = np.zeros(len(alarms), dtype=np.bool_)
    return Verdicts(alarms, none, np.array(mutants), np.zeros(len(alarms), dtype=np.int64), alarms)


def test_a_policy_has_one_operating_point() -> None:
    verdicts = {
        "normal": [_verdicts([0, 0, 0, 1], [4, 6, 8, 2]), _verdicts([0, 0, 0, 0], [4, 4, 4, 8])],
        "fgsm": [_verdicts([1, 1, 0], [99] * 3), _verdicts([1, 0, 1], [99] * 3)],
    }
    row, cells = methods.policy("calibrated nai", "note", verdicts, 0.5)
    assert (row.name, row.family, row.note, row.milliseconds) == ("calibrated nai", OURS, "note", 0.5)
    assert row.forward_passes == 1 + 5.0  # of normal images alone
    assert row.false_alarms_1 is None
    assert row.false_alarms_5.value == pytest.approx(1 / 8)
    (cell,) = cells
    assert (cell.kind, cell.auroc, cell.detected_1) == ("fgsm", None, None)
    assert cell.detected_5.value == pytest.approx(4 / 6)
    weights = np.repeat([1 / 4, 1 / 3], [4, 3])
    truth = np.repeat([0, 1], [4, 3])
    first = matthews_corrcoef(truth, [0, 0, 0, 1, 1, 1, 0], sample_weight=weights)
    second = matthews_corrcoef(truth, [0, 0, 0, 0, 1, 0, 1], sample_weight=weights)
    assert cell.matthews == pytest.approx((first + second) / 2)
