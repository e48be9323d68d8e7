"""Two detectors on the same images."""

import numpy as np
import pytest

from evaluation.experiment.measuring.detectors import FREE, OURS, KindScores, ScoredDetector
from evaluation.experiment.measuring.paired import paired_cells


def _detector(name: str, kind: np.ndarray, *, doubts: bool = False) -> ScoredDetector:
    found = np.atleast_2d(kind)
    clean = np.tile(np.linspace(0, 1, 100), (len(found), 1))
    scores = KindScores(clean, found, clean)
    return ScoredDetector(name, OURS if doubts else FREE, "", 1.0, {"pgd": scores}, doubts=doubts)


def test_a_difference_of_the_same_images_is_surer_than_of_others() -> None:
    rng = np.random.default_rng(0)
    seen = rng.random(400) < 0.5
    ours = _detector("doubt", np.stack([np.where(seen, 2.0, 0.5)] * 2), doubts=True)
    less = seen & (rng.random(400) < 0.95)
    other = _detector("free", np.where(less, 2.0, 0.5))
    (cell,) = paired_cells([ours, other], ["free"])
    lost = float((seen & ~less).mean())
    assert (cell.method, cell.other, cell.kind, cell.images) == ("doubt", "free", "pgd", 400)
    assert cell.detected_5.value == pytest.approx(lost)
    assert 0 < cell.detected_5.low < lost < cell.detected_5.high < 0.06
    assert cell.detected_1.value == pytest.approx(lost)
    assert cell.auroc.value == pytest.approx(lost * 0.5, abs=0.01)


def test_a_detector_less_itself_is_nothing() -> None:
    ours = _detector("doubt", np.linspace(0, 2, 30), doubts=True)
    (cell,) = paired_cells([ours], ["doubt"])
    for found in (cell.detected_5, cell.detected_1, cell.auroc):
        assert (found.value, found.low, found.high) == (0, 0, 0)


def test_one_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no detector free"):
        paired_cells([_detector("doubt", np.zeros(3), doubts=True)], ["free"])
