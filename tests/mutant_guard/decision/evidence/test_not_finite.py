"""Evidence of scores that are not finite: always the most there is, and never a label."""

from math import inf, nan

import numpy as np
import pytest

from mutant_guard.decision.evidence.kinds import (
    LABEL_CHANGES,
    NO_LABEL,
    UNIT,
    Doubts,
    Evidence,
    OutputKind,
    all_finite,
    labels_of,
)

VALUES = pytest.mark.parametrize("value", [nan, inf, -inf], ids=str)
KINDS: list[OutputKind] = ["logits", "probabilities"]


@VALUES
@pytest.mark.parametrize("place", range(3))
def test_scores_that_are_not_finite_have_no_label(value: float, place: int) -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.1, 0.7, 0.2], [0.6, 0.1, 0.3]], dtype=np.float32)
    scores[1, place] = value
    assert labels_of(scores).tolist() == [1, NO_LABEL, 0]
    assert labels_of(scores[:, None]).tolist() == [[1], [NO_LABEL], [0]]


@pytest.mark.parametrize("size", [1, 10, 8192, 8193, 100_000])
def test_all_values_are_finite_or_not_all_are(size: int) -> None:
    rng = np.random.default_rng(size)
    for scale in (1e-30, 1.0, 1e30, 3e38):  # squares of the large ones overflow
        values = rng.uniform(-scale, scale, size).astype(np.float32)
        assert all_finite(values)
        assert all_finite(values.reshape(1, size, 1))
        for value in (nan, inf, -inf):
            spoilt = values.copy()
            spoilt[rng.integers(size)] = value
            assert not all_finite(spoilt)
            assert not all_finite(spoilt[None].T)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("label", range(3))
@pytest.mark.parametrize(
    "evidence", [LABEL_CHANGES, *(Doubts(1.0, 1.0, 0.5, kind) for kind in KINDS)], ids=str
)
def test_a_nan_counts_as_full_evidence_against_every_label(
    evidence: Evidence, label: int, place: int
) -> None:
    scores = np.array([[0.1, 0.7, 0.2]], dtype=np.float32)
    scores[0, place] = nan
    assert evidence.of_mutants(scores, np.array([label])).tolist() == [evidence.unit]


@pytest.mark.parametrize("evidence", [Doubts(1.0, 1.0, 0.5, kind) for kind in KINDS], ids=str)
def test_a_nan_of_the_original_is_full_doubt(evidence: Doubts) -> None:
    assert evidence.of_original(np.full((1, 3), nan, dtype=np.float32)).tolist() == [UNIT // 2]


@pytest.mark.parametrize("value", [nan, inf])
@pytest.mark.parametrize("place", range(3))
def test_parameters_of_doubts_are_finite(value: float, place: int) -> None:
    first, second, third = (value if place == n else 1.0 for n in range(3))
    with pytest.raises(ValueError, match="all finite"):
        Doubts(first, second, third)
