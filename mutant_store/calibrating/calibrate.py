"""Calibration of a bank on recorded answers of mutants on clean images.

It chooses the policies and estimates what they do.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Protocol

import numpy as np

from mutant_guard.decision.calibration.calibration import (
    CalibratedPolicy,
    CertifiedPolicy,
    CleanParts,
    calibrated_policy,
    fixed_policy,
    normal_rate,
    paper_test,
)
from mutant_guard.decision.calibration.certification import CalibrationError, Certificate, allowed_alarms
from mutant_guard.decision.calibration.recording import Recording, joined
from mutant_guard.decision.calibration.simulation import estimate, run_recorded
from mutant_guard.decision.calibration.stages import StagedPolicy, all_mutants_policy, staged_policy
from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.policies import ErrorBounds, Policy
from mutant_guard.decision.sequential.sprt import Sprt
from mutant_guard.errors import DataError
from mutant_guard.store.calibration_record import (
    CalibrationRecord,
    CalibrationSettings,
    CertificateRecord,
    FinitePoolRecord,
    FixedRecord,
    HypothesesRecord,
    NormalRate,
    PolicyRecord,
    RateEstimate,
    SprtRecord,
)
from mutant_guard.store.doubts_record import DoubtsRecord, StagedRecord
from mutant_guard.store.manifest import SCHEMA_VERSION, RecipeValue

_Test = SprtRecord | FinitePoolRecord | FixedRecord | StagedRecord
_CHOICE = 1
"""Seed part that keeps the orders of the choice images apart from those that certify."""
_ENOUGH = 15
"""Alarms that certification should allow, so that one image more or less decides little."""
_CHOOSING = 500
"""Images that are enough to choose policies."""
_ROBUST_SHARE = 0.7
"""Share of the alarms on clean images that a small robust mutant raises alone."""
_LARGE_SHARE = 0.9
"""Share that one raises which is certified, or trained from the original."""


def calibrate(
    choice: Recording,
    certification: Recording,
    settings: CalibrationSettings,
    seed: int,
    doubts: Doubts | None = None,
    ranks: Sequence[int] = (),
    *,
    first_share: float = 0.0,
) -> CalibrationRecord:
    """Choose the shape of every policy on ``choice``; certify and estimate it on ``certification``.

    Where certification allows few alarms, images of ``choice`` beyond the first 500 certify too.

    Args:
        choice: answers of the mutants on clean images that choose.
        certification: answers of the mutants on other clean images.
        settings: requirements on the policies, with the kind of evidence decided.
        seed: seed of the order in which each image meets the mutants.
        doubts: method by which the doubts of both were computed; None without soft evidence.
        ranks: rank of every mutant in the orders, see ``Order``; none where all are equal.
        first_share: share of the alarms on clean images that the doubt of the first mutant alone
            raises, see ``first_share_of``.

    Raises:
        DataError: the images do not allow the policies asked for.
    """
    choice, certification = shared_out(choice, certification, settings)
    served = certification.reordered(seed, ranks)
    try:
        if settings.evidence == "soft":
            return _soft(choice, certification, settings, seed, doubts, ranks, first_share)
        parts = CleanParts(choice, certification, served.changes)
        normal = normal_rate(choice)
        paper = paper_test(normal, **settings.nominal)
        calibrated = calibrated_policy(
            parts, **settings.certified, max_miss=settings.max_miss, clean_mutants=settings.budget
        )
        fixed = fixed_policy(
            parts,
            **settings.certified,
            mutants=settings.fixed_mutants,
            targets=ErrorBounds(settings.max_miss, settings.max_miss),
        )
    except CalibrationError as error:
        raise DataError(str(error)) from error
    policies = [
        _record(calibrated.policy, _finite_pool(calibrated), calibrated.certificate, served),
        _record(fixed.policy, _fixed(fixed), fixed.certificate, served),
        _record(builders.sequential("paper", paper, choice.pool), _sprt(paper), None, served),
    ]
    return CalibrationRecord(
        schema_version=SCHEMA_VERSION,
        settings=settings,
        normal_label_change_rate=NormalRate(**asdict(normal)),
        doubts=None if doubts is None else DoubtsRecord.of(doubts),
        policies=dict(policies),
    )


class _Robust(Protocol):
    """Robust mutant, in a manifest or as it was trained."""

    @property
    def certified(self) -> bool:
        """Whether it was trained for bounds, by which something is proved."""

    @property
    def recipe(self) -> dict[str, RecipeValue]:
        """Settings of its training, by name."""


def from_original(robust: Sequence[_Robust]) -> bool:
    """Return whether a pool has robust mutants, and all of them started from the original."""
    return bool(robust) and all(mutant.recipe.get("from_original") for mutant in robust)


def first_share_of(robust: Sequence[_Robust]) -> float:
    """Return the share of the alarms on clean images that a pool's first mutant raises alone.

    A certified mutant raises more of them: whatever is proved is proved by its doubt alone, while
    other mutants see more of the attacks that are aimed at the original. So does one that started
    from the original, whose doubts see these attacks as well.

    Args:
        robust: robust mutants of the pool, any of which may come first; none where no mutant may
            raise an alarm alone.
    """
    if not robust:
        return 0.0
    large = from_original(robust) or all(mutant.certified for mutant in robust)
    return _LARGE_SHARE if large else _ROBUST_SHARE


def shared_out(
    choice: Recording, certification: Recording, settings: CalibrationSettings
) -> tuple[Recording, Recording]:
    """Return the images that choose under some settings, and those that certify.

    Where certification would allow fewer than 15 alarms, all but the first 500 images of ``choice``
    certify too: how many alarms are allowed then matters more than which shape is chosen.
    """
    images = int(certification.correct.sum())
    allowed = allowed_alarms(images, settings.max_false_alarm, settings.confidence)
    if allowed >= _ENOUGH or len(choice.correct) <= _CHOOSING:
        return choice, certification
    return choice.part(slice(_CHOOSING)), joined([choice.part(slice(_CHOOSING, None)), certification])


def _soft(
    choice: Recording,
    certification: Recording,
    settings: CalibrationSettings,
    seed: int,
    doubts: Doubts | None,
    ranks: Sequence[int],
    first_share: float,
) -> CalibrationRecord:
    if doubts is None:
        raise DataError("this store keeps no doubts to calibrate on; give clean images with --data")
    weights = companion_weights(choice, doubts.companions)
    own_weight = settings.weight_of_original * max(1, doubts.companions)
    evidence = replace(doubts, own_weight=own_weight, weights=weights)
    choice, certification = choice.weighted(weights), certification.weighted(weights)
    served = certification.reordered(seed, ranks)
    in_order = choice_in_order(choice, seed, ranks)
    found = [
        staged_policy(
            in_order,
            served,
            evidence,
            **settings.certified,
            clean_mutants=settings.budget,
            first_share=first_share,
        ),
        all_mutants_policy(
            served,
            evidence,
            mutants=settings.fixed_mutants,
            **settings.certified,
            choice=in_order,
            first_share=first_share,
        ),
    ]
    policies = [_record(each.policy, _staged(each), each.certificate, served) for each in found]
    normal = None
    with suppress(CalibrationError):  # a few accurate mutants may change no label, or too many for its test
        normal = normal_rate(choice)
        paper = paper_test(normal, **settings.nominal)
        policies.append(_record(builders.sequential("paper", paper, choice.pool), _sprt(paper), None, served))
    return CalibrationRecord(
        schema_version=SCHEMA_VERSION,
        settings=settings,
        normal_label_change_rate=None if normal is None else NormalRate(**asdict(normal)),
        doubts=DoubtsRecord.of(evidence),
        policies=dict(policies),
    )


def companion_weights(choice: Recording, companions: int) -> tuple[float, ...]:
    """Return the weight of every mutant: that of a companion is the less, the more it doubts clean images.

    Each companion then adds as much to the sums of clean images, so that one that agrees less often
    with the original does not set the threshold alone. All other mutants have weight 1.

    Args:
        choice: doubts of clean images; those that the original gets right count.
        companions: number of companions, the first of the mutants; fewer than two have no weights.
    """
    if companions < 2 or choice.doubts is None:
        return ()
    means = np.maximum(choice.only_correct().doubts[:, :companions].mean(axis=0), 1)  # type: ignore[index]
    return (*(means.min() / means).tolist(), *[1.0] * (choice.pool - companions))


def choice_in_order(choice: Recording, seed: int, ranks: Sequence[int] = ()) -> Recording:
    """Return the choice images in the orders that choose the stages under a seed."""
    return choice.reordered([seed, _CHOICE], ranks)


def _sprt(test: Sprt) -> SprtRecord:
    return SprtRecord(p0=test.p0, p1=test.p1, alpha=test.alpha, beta=test.beta)


def _finite_pool(certified: CalibratedPolicy) -> FinitePoolRecord:
    test = certified.test
    return FinitePoolRecord(
        threshold=certified.threshold,
        normal=list(zip(test.normal.counts, test.normal.weights, strict=True)),
        high=test.high,
        alpha=test.alpha,
        beta=test.beta,
        false_alarm=certified.policy.targets.beta,
    )


def _fixed(certified: CertifiedPolicy) -> FixedRecord:
    policy = certified.policy
    return FixedRecord(mutants=policy.mutants, threshold=certified.threshold, **policy.targets._asdict())


def _staged(certified: StagedPolicy) -> StagedRecord:
    evidence = certified.policy.evidence
    if not isinstance(evidence, Doubts):
        raise TypeError("a staged test adds up doubts")
    return StagedRecord(
        threshold=certified.threshold,
        stages=[(stage.mutants, stage.at_most) for stage in certified.stages],
        alarms=[(alarm.mutants, alarm.at_least) for alarm in certified.alarms],
        mutants=certified.policy.mutants,
        evidence=DoubtsRecord.of(evidence),
    )


def _record(
    policy: Policy, test: _Test, certificate: Certificate | None, served: Recording
) -> tuple[str, PolicyRecord]:
    bounds = policy.error_bounds
    rates = estimate(policy, served, run_recorded(policy, served))
    return policy.name, PolicyRecord(
        test=test,
        pool=policy.pool,
        hypotheses=HypothesesRecord.of(policy),
        error_bounds=bounds._asdict() if bounds else None,
        certificate=CertificateRecord(**asdict(certificate)) if certificate else None,
        false_alarms=RateEstimate(**asdict(rates.false_alarms)),
        alarms=RateEstimate(**asdict(rates.alarms)),
        undecided=RateEstimate(**asdict(rates.undecided)),
        alarms_or_undecided=RateEstimate(**asdict(rates.alarms_or_undecided)),
        mean_mutants=rates.mean_mutants,
        p99_mutants=rates.p99_mutants,
    )
