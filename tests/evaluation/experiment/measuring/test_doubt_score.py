"""What all mutants of a pool say, as one number that mirrors the policy."""

import numpy as np
import pytest

from evaluation.experiment.measuring.doubt_score import DoubtScore
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.simulation import run_recorded
from mutant_guard.decision.evidence.kinds import UNIT, Doubts
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.decision.sequential.staged import Alarm, staged
from mutant_guard.store.reader import Store

EVIDENCE = Doubts(1.0, 1.0, 0.25)


def recorded(images: int, mutants: int) -> Recording:
    rng = np.random.default_rng(0)
    doubts = (UNIT * rng.beta(0.3, 1, (images, mutants))).astype(np.int32)
    own = (UNIT * rng.beta(0.3, 1, images)).astype(np.int32)
    return Recording(doubts > UNIT / 2, np.ones(images, dtype=np.bool_), doubts, own)


def test_it_reaches_the_threshold_where_all_mutants_raise_the_alarm() -> None:
    recording, threshold, alone = recorded(2000, 4), 2 * UNIT, UNIT // 2
    policy = staged("all", EVIDENCE, threshold, (), 4, alarms=(Alarm(1, alone),))
    alarm = run_recorded(policy, recording).decisions == Decision.ADVERSARIAL
    found = DoubtScore(EVIDENCE, (0,), threshold / alone).scores(recording)
    assert ((found >= threshold / UNIT) == alarm).all()
    sums = DoubtScore(EVIDENCE).scores(recording)
    assert 0 < (sums >= threshold / UNIT).sum() < alarm.sum() < 2000
    assert (found >= sums).all()


def test_the_one_that_doubts_most_of_several_robust_ones_counts() -> None:
    one = Recording(
        np.zeros((1, 3), np.bool_),
        np.ones(1, np.bool_),
        np.array([[UNIT // 8, UNIT // 2, 0]], dtype=np.int32),
        np.array([UNIT], dtype=np.int32),
    )
    assert DoubtScore(EVIDENCE, (0, 1), 4.0).scores(one) == pytest.approx([4 * 0.75])
    assert DoubtScore(EVIDENCE, (0, 1), 4.0).scores(one, few=1) == pytest.approx([4 * 0.375])
    assert DoubtScore(EVIDENCE).scores(one) == pytest.approx([0.875])


def test_a_store_says_which_mutants_alone_raise_an_alarm(robust_store: Store) -> None:
    found = DoubtScore.of(robust_store)
    assert found is not None
    assert found.robust == (0,)
    assert found.factor > 1
