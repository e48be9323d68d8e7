"""Policies run on recordings of mutants, in the order in which the server would take them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation import metrics
from evaluation.experiment.records.intervals import resampled
from evaluation.experiment.records.results import NORMAL, DetectionCell, MutantsUsed, PolicyCell
from evaluation.sample_set import SampleSet
from evaluation.server import ORDER_KEY
from mutant_guard.decision.calibration.calibration import paper_test
from mutant_guard.decision.calibration.certification import CalibrationError
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.simulation import run_recorded
from mutant_guard.decision.evidence.label_change import MeanRate
from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.policies import Decision, Policy
from mutant_guard.errors import DataError
from mutant_guard.runtime.order import Order
from mutant_guard.store.reader import Store

_QUANTILES = np.linspace(0, 1, 101)

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Answers of a policy on images: its decision, the mutants it took, their label changes.

    Each array has an entry an image. ``forced`` is an alarm where an exhausted pool counts by
    whether its label change rate is above the threshold.
    """

    adversarial: Bools
    undecided: Bools
    mutants: NDArray[np.int64]
    label_changes: NDArray[np.int64]
    forced: Bools


def server_order(store: Store, samples: SampleSet) -> NDArray[np.int64]:
    """Return numbers, from 0, of the mutants as requests meet them under ``ORDER_KEY``.

    The result is int64 [images, mutants].
    """
    manifest = store.manifest
    order = Order(ORDER_KEY.encode(), pool=manifest.mutants, decks=manifest.decks, ranks=manifest.ranks)
    return np.stack([order.mutants(pixels) - 1 for pixels in samples.images])


def in_server_order(store: Store, samples: SampleSet, recording: Recording) -> Recording:
    """Return the recording with every image's mutants as requests meet them."""
    return recording.in_order(server_order(store, samples))


def judged(policy: Policy, recording: Recording, threshold: float = 1.0) -> Verdicts:
    """Run a policy over a recording, mutants in the order they stand in.

    ``threshold`` is the label change rate above which an exhausted pool counts as an alarm in
    ``forced``.
    """
    state = run_recorded(policy, recording)
    adversarial = state.decisions == Decision.ADVERSARIAL
    undecided = ~adversarial & (state.decisions != Decision.NORMAL)
    consumed = np.arange(recording.pool) < state.mutants[:, None]
    return Verdicts(
        adversarial,
        undecided,
        state.mutants,
        (recording.changes & consumed).sum(axis=1, dtype=np.int64),
        adversarial | (undecided & (recording.rates > threshold)),
    )


def algorithm_1(store: Store, rho: float, delta_ratio: float) -> tuple[Policy, float]:
    """Return the paper's test at ρ, and its threshold ςh.

    Its thresholds come from the store's clean images.

    Raises:
        DataError: ρ is so large that the test's hypotheses leave the range 0 to 1, or no mutant
            changes the label of a normal image.
    """
    if store.calibration.normal_label_change_rate is None:
        raise DataError(f"store '{store.name}': no mutant changes the label of a normal image")
    normal = MeanRate(**store.calibration.normal_label_change_rate.model_dump())
    settings = store.calibration.settings
    try:
        test = paper_test(normal, rho=rho, alpha=settings.alpha, beta=settings.beta, delta_ratio=delta_ratio)
    except CalibrationError as error:
        raise DataError(f"store '{store.name}', ρ = {rho:g}: {error}") from error
    return builders.sequential(f"paper ρ={rho:g}", test, store.manifest.mutants), rho * normal.upper


def detection_cell(operator: str, rho: float, kind: str, verdicts: Sequence[Verdicts]) -> DetectionCell:
    """Return one cell of Figure 4 from the verdicts on the same images under several pools."""
    forced = _mean([found.forced for found in verdicts])
    return DetectionCell(
        operator=operator,
        rho=rho,
        kind=kind,
        adversarial=resampled(metrics.mean(_mean([found.adversarial for found in verdicts]))),
        undecided=resampled(metrics.mean(_mean([found.undecided for found in verdicts]))),
        normal=resampled(metrics.mean(_mean([~found.adversarial & ~found.undecided for found in verdicts]))),
        forced=resampled(metrics.mean(1 - forced if kind == NORMAL else forced)),
        mean_mutants=float(np.mean([found.mutants for found in verdicts])),
    )


def policy_cell(operator: str, policy: str, kind: str, verdicts: Sequence[Verdicts]) -> PolicyCell:
    """Return a policy's cell on a kind.

    It is made of the verdicts on the same images under several pools.
    """
    return PolicyCell(
        operator=operator,
        policy=policy,
        kind=kind,
        adversarial=resampled(metrics.mean(_mean([found.adversarial for found in verdicts]))),
        undecided=resampled(metrics.mean(_mean([found.undecided for found in verdicts]))),
        mean_mutants=float(np.mean([found.mutants for found in verdicts])),
    )


def mutants_used(policy: str, verdicts: Mapping[str, Sequence[Verdicts]]) -> list[MutantsUsed]:
    """Return quantiles of the mutants of a verdict by kind, the pools taken together."""
    return [
        MutantsUsed(
            policy=policy,
            kind=kind,
            quantiles=np.quantile(np.concatenate([each.mutants for each in found]), _QUANTILES)
            .round(1)
            .tolist(),
        )
        for kind, found in verdicts.items()
    ]


def _mean(flags: Sequence[Bools]) -> NDArray[np.float64]:
    """Return the share of pools in which each image is flagged, float64 [images]."""
    return np.asarray(np.mean(np.stack(flags), axis=0, dtype=np.float64))
