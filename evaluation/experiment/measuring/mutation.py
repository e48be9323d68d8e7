"""Mutation method on an experiment's images.

It gives tables over operators and rates, verdicts, and detectors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from evaluation.experiment.material.config import Config
from evaluation.experiment.material.pools import PoolKey, Pools, soft_evidence
from evaluation.experiment.measuring.detectors import ScoredDetector, doubt_detector, label_change_detector
from evaluation.experiment.measuring.doubt_score import DoubtScore
from evaluation.experiment.measuring.label_change_rates import LabelChangeTables, rates_of
from evaluation.experiment.measuring.trained import early_cell, suggestions
from evaluation.experiment.measuring.verdicts import (
    Verdicts,
    algorithm_1,
    detection_cell,
    in_server_order,
    judged,
    mutants_used,
    policy_cell,
)
from evaluation.experiment.records.paper import Paper
from evaluation.experiment.records.results import (
    AurocCell,
    DetectionCell,
    DistanceCell,
    Histogram,
    MutantsUsed,
    PolicyCell,
    PoolResult,
    RateCell,
)
from evaluation.experiment.records.trained_results import EarlyCell, SuggestionCell
from evaluation.sample_set import SampleSet
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.store.reader import Store

POLICIES = ("calibrated", "fixed")
"""Policies of the stores; ``paper`` is measured at every ρ of the configuration instead."""


@dataclass(eq=False)
class Tables:
    """Tables of the mutation method, and what further steps need."""

    pools: list[PoolResult] = field(default_factory=list)
    rates: list[RateCell] = field(default_factory=list)
    distances: list[DistanceCell] = field(default_factory=list)
    aurocs: list[AurocCell] = field(default_factory=list)
    histograms: list[Histogram] = field(default_factory=list)
    detection: list[DetectionCell] = field(default_factory=list)
    policies: list[PolicyCell] = field(default_factory=list)
    mutants_used: list[MutantsUsed] = field(default_factory=list)
    detectors: list[ScoredDetector] = field(default_factory=list)
    suggestions: list[SuggestionCell] = field(default_factory=list)
    early: list[EarlyCell] = field(default_factory=list)
    verdicts: dict[tuple[str, str], dict[str, list[Verdicts]]] = field(default_factory=dict)
    """Verdicts by operator and policy, then by kind; one a pool."""


def tables(config: Config, pools: Pools, samples: Mapping[str, SampleSet]) -> Tables:
    """Record what is missing and fill the tables."""
    found = Tables()
    paper = Paper(config.paper)
    columns = {kind: config.paper_column(kind) for kind in samples}
    of_the_paper = {kind: one for kind, one in samples.items() if columns[kind] is not None}
    chosen = config.pools
    for operator in chosen.operators:
        main = chosen.main_rate_of(operator)
        for rate in chosen.rates_of(operator):
            keys = pools.keys(operator, rate)
            kinds = samples if rate == main else of_the_paper
            recordings = {kind: _recordings(pools, keys, one) for kind, one in kinds.items()}
            found.pools += [_pool(pools, key) for key in keys]
            if any(not each for each in recordings.values()):
                continue  # refused at this rate
            rates = {kind: rates_of(each) for kind, each in recordings.items()}
            made = LabelChangeTables(operator, rate, rates, columns, paper)
            found.rates += made.means()
            found.distances += made.distances()
            found.aurocs += made.aurocs()
            if rate == main:
                found.histograms += made.histograms()
                calibration = [pools.calibration(key) for key in keys]
                by_pool = [one for key in keys if (one := DoubtScore.of(pools.required(key))) is not None]
                found.detectors.append(label_change_detector(operator, recordings, calibration))
                if by_pool:
                    found.detectors += [
                        doubt_detector(operator, recordings, calibration, by_pool, few)
                        for few in dict.fromkeys((None, chosen.few))
                    ]
                _judge(config, pools, operator, samples, recordings, found)
    return found


def _recordings(pools: Pools, keys: list[PoolKey], samples: SampleSet) -> list[Recording]:
    found = [pools.recording(key, samples) for key in keys]
    return [recording for recording in found if recording is not None]


def _pool(pools: Pools, key: PoolKey) -> PoolResult:
    store = pools.store(key)
    return PoolResult(
        operator=key.operator,
        rate=key.rate,
        seed=key.seed,
        drawn=store.manifest.candidates_drawn if store else None,
        refused=None if store else pools.refused[key.operator, key.rate],
    )


def _judge(
    config: Config,
    pools: Pools,
    operator: str,
    samples: Mapping[str, SampleSet],
    recordings: Mapping[str, list[Recording]],
    found: Tables,
) -> None:
    """Judge every kind by every policy, under every pool of the main rate.

    Algorithm 1 is among them where label changes are counted.
    """
    stores = [store for key in pools.keys(operator) if (store := pools.store(key)) is not None]
    soft = all(soft_evidence(store) for store in stores)
    at_rho: dict[float, dict[str, list[Verdicts]]] = {rho: {} for rho in (() if soft else config.rhos)}
    named: dict[str, dict[str, list[Verdicts]]] = {policy: {} for policy in POLICIES}
    for kind, each in recordings.items():
        met = [
            in_server_order(store, samples[kind], recording)
            for store, recording in zip(stores, each, strict=True)
        ]
        for rho, verdicts in at_rho.items():
            verdicts[kind] = [
                _algorithm_1(store, rho, config, one) for store, one in zip(stores, met, strict=True)
            ]
            found.detection.append(detection_cell(operator, rho, kind, verdicts[kind]))
        for policy, verdicts in named.items():
            verdicts[kind] = [
                judged(store.policy(policy), one) for store, one in zip(stores, met, strict=True)
            ]
            found.policies.append(policy_cell(operator, policy, kind, verdicts[kind]))
            if soft:
                parts = zip((store.policy(policy) for store in stores), met, verdicts[kind], strict=True)
                found.early.append(early_cell(operator, policy, kind, list(parts)))
    if soft:
        keys = pools.keys(operator)
        found.suggestions += suggestions(pools, keys, POLICIES[0], samples, named[POLICIES[0]])
    for policy, verdicts in named.items():
        found.verdicts[operator, policy] = verdicts
        found.mutants_used += mutants_used(f"{policy} {operator}", verdicts)
    for rho, verdicts in at_rho.items():
        found.verdicts[operator, f"paper ρ={rho:g}"] = verdicts
        found.mutants_used += mutants_used(f"paper ρ={rho:g} {operator}", verdicts)


def _algorithm_1(store: Store, rho: float, config: Config, recording: Recording) -> Verdicts:
    policy, threshold = algorithm_1(store, rho, config.delta_ratio)
    return judged(policy, recording, threshold)
