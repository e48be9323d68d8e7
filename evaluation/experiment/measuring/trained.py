"""Additions of pools of trained mutants to an experiment.

They are the pools' training, suggestions, and the cost of leaving early.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from evaluation import metrics
from evaluation.experiment.material.pools import PoolKey, Pools, soft_evidence
from evaluation.experiment.measuring.suggestions import suggestion_cell
from evaluation.experiment.measuring.verdicts import Verdicts, server_order
from evaluation.experiment.records.intervals import resampled
from evaluation.experiment.records.trained_results import (
    EarlyCell,
    RobustFigures,
    SuggestionCell,
    TrainedPool,
)
from evaluation.sample_set import SampleSet
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.sequential.policies import Policy


def trained_pool(pools: Pools, key: PoolKey, clean: SampleSet) -> TrainedPool | None:
    """Return the description of a pool's training.

    Accuracies are those on ``clean``, all calibration images: the filter stops counting when it is
    sure.

    Returns:
        The description, or None for mutants that were not trained, or whose policies count label
        changes.
    """
    store = pools.required(key)
    manifest, doubts = store.manifest, soft_evidence(store)
    if doubts is None or (manifest.retraining is None and not manifest.robust):
        return None
    right = (pools.labels(key, clean) == clean.labels[:, None]).mean(axis=0)
    bounds = store.policy("calibrated").boundaries.adversarial_at_least
    alone, threshold = (float(bounds[place] / doubts.unit) for place in (1, -1))
    return TrainedPool(
        operator=key.operator,
        seed=key.seed,
        settings=manifest.retraining.model_dump(mode="json") if manifest.retraining else {},
        original_accuracy=float(right[0]),
        accuracies=right[1:].tolist(),
        temperatures=(doubts.own_temperature, doubts.temperature),
        threshold=threshold,
        seconds=pools.build_seconds(key),
        alone=alone if manifest.robust else None,
        robust=[
            RobustFigures(
                network=one.network,
                settings={**one.recipe, "data": one.data.spec},
                accuracy=one.accuracy,
                robust_accuracy=one.robust_accuracy,
                certified=one.certified,
                temperature=doubts.of_mutant(one.mutant)[0],
                relative_cost=one.relative_cost,
            )
            for one in manifest.robust
        ],
    )


def suggestions(
    pools: Pools,
    keys: Sequence[PoolKey],
    policy: str,
    samples: Mapping[str, SampleSet],
    verdicts: Mapping[str, Sequence[Verdicts]],
) -> list[SuggestionCell]:
    """Return a cell a kind, of the pools of an operator under a policy.

    ``verdicts`` are the policy's by kind, one a pool.
    """
    cells = []
    for kind, each in verdicts.items():
        found = []
        for key, one in zip(keys, each, strict=True):
            labels = pools.labels(key, samples[kind])[:, 1:]
            order = server_order(pools.required(key), samples[kind])
            found.append((one, np.take_along_axis(labels, order, axis=1)))
        cells.append(suggestion_cell(keys[0].operator, policy, kind, samples[kind].labels, found))
    return cells


def early_cell(
    operator: str,
    name: str,
    kind: str,
    pools: Sequence[tuple[Policy, Recording, Verdicts]],
) -> EarlyCell:
    """Return the cost of leaving early on a kind.

    Args:
        operator: operator that made the mutants.
        name: name of the policy.
        kind: kind of the images.
        pools: for each pool, its policy on doubts, the recording with every image's mutants as
            requests meet them, and the verdicts.
    """
    alarm = np.stack([verdicts.adversarial for _, _, verdicts in pools])
    everyone = np.stack([_all_mutants(policy, recording) for policy, recording, _ in pools])
    mutants = np.stack([verdicts.mutants for _, _, verdicts in pools])
    return EarlyCell(
        operator=operator,
        policy=name,
        kind=kind,
        adversarial=resampled(metrics.mean(alarm.mean(axis=0))),
        all_mutants=resampled(metrics.mean(everyone.mean(axis=0))),
        lost=resampled(metrics.mean((everyone & ~alarm).mean(axis=0))),
        mutants=resampled(metrics.mean(mutants.mean(axis=0))),
    )


def _all_mutants(policy: Policy, recording: Recording) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Check whether all mutants together raise the policy's alarm, bool [images].

    They reach its threshold, or the first one its early alarm.
    """
    said, start = recording.evidence(policy)
    sums = start[:, None] + np.cumsum(said, axis=1, dtype=np.int64)
    bounds = policy.boundaries.adversarial_at_least
    early = (sums[:, : policy.boundaries.mutants] >= bounds[1:]).any(axis=1)
    return np.asarray(early | (sums[:, -1] >= bounds[-1]))
