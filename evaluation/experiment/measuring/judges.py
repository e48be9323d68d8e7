"""Judges of unforeseen images: the served policy, all mutants together, a free baseline."""

from collections.abc import Callable
from functools import partial

import numpy as np

from evaluation.experiment.material.pools import PoolKey, Pools
from evaluation.experiment.measuring import methods
from evaluation.experiment.measuring.detectors import Call, ScoredDetector, Scores
from evaluation.experiment.measuring.doubt_score import DoubtScore
from evaluation.experiment.measuring.robustness import Bools, Judge
from evaluation.experiment.measuring.verdicts import in_server_order, judged
from evaluation.sample_set import SampleSet
from mutant_guard.decision.calibration.recording import Recording

_POLICY = "calibrated"
_SOFTMAX = "softmax confidence"
_FALSE_ALARMS = 0.05


def judges_of(pools: Pools, key: PoolKey, baselines: list[ScoredDetector]) -> dict[str, Judge]:
    """Return the judges by name; all but the policy at 5 % false alarms.

    Args:
        pools: the pools.
        key: key of the pool whose store is served.
        baselines: other detectors, of which softmax confidence judges if it is among them.
    """
    score = DoubtScore.of(pools.required(key))
    name: str = f"LCR {key.operator}"
    scores: Callable[[Recording], Scores] = _rates
    if score is not None:
        name, scores = f"doubt {key.operator}", score.scores
    judges: dict[str, Judge] = {
        f"{_POLICY} {key.operator}": partial(_served, pools, key),
        name: partial(_full_pool, pools, key, scores, scores(pools.calibration(key).only_correct())),
    }
    for one in baselines:
        if one.name == _SOFTMAX and one.once is not None:
            judges[one.name] = partial(_scored, one.once, next(iter(one.kinds.values())).calibration)
    return judges


def _served(pools: Pools, key: PoolKey, samples: SampleSet) -> Bools:
    store, recording = pools.required(key), pools.recorded(key, samples)
    return judged(store.policy(_POLICY), in_server_order(store, samples, recording)).adversarial


def _full_pool(
    pools: Pools, key: PoolKey, scores: Callable[[Recording], Scores], reference: Scores, samples: SampleSet
) -> Bools:
    found = scores(pools.recorded(key, samples))
    return np.asarray(methods.alarms(found[None], reference[None], _FALSE_ALARMS)[0])


def _rates(recording: Recording) -> Scores:
    return recording.rates


def _scored(once: Call, reference: Scores, samples: SampleSet) -> Bools:
    return np.asarray(methods.alarms(once(samples.images)[None], reference, _FALSE_ALARMS)[0])
