"""Calibration of a bank: label changes of clean images, the policies they give, what these policies then do."""

from dataclasses import asdict

from detection import builders
from detection.calibration import (
    CalibratedPolicy,
    CertifiedPolicy,
    CleanParts,
    calibrated_policy,
    fixed_policy,
    normal_rate,
    paper_test,
)
from detection.certification import CalibrationError, Certificate
from detection.label_change import MeanRate
from detection.policies import ErrorBounds, Policy
from detection.recording import Recording
from detection.simulation import estimate, run
from detection.sprt import Sprt
from mutant_store.calibration_record import (
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
from mutant_store.errors import DataError
from mutant_store.manifest import SCHEMA_VERSION

_Test = SprtRecord | FinitePoolRecord | FixedRecord


def calibrate(
    choice: Recording, certification: Recording, settings: CalibrationSettings, seed: int
) -> CalibrationRecord:
    """Choose the shape of every policy on ``choice``; certify and estimate it on ``certification``.

    Args:
        choice: label changes of clean images.
        certification: those of others.
        settings: what is asked of the policies.
        seed: draws the order in which each certification image meets the mutants.

    Raises:
        DataError: the images do not allow the policies asked for.
    """
    parts = CleanParts(choice, certification, certification.shuffled(seed))
    try:
        normal = normal_rate(choice)
        paper = paper_for(normal, settings)
        calibrated, fixed = calibrated_for(parts, settings), fixed_for(parts, settings)
    except CalibrationError as error:
        raise DataError(str(error)) from error
    policies = [
        _record(calibrated.policy, _finite_pool(calibrated), calibrated.certificate, parts),
        _record(fixed.policy, _fixed(fixed), fixed.certificate, parts),
        _record(builders.sequential("paper", paper, choice.pool), _sprt(paper), None, parts),
    ]
    return CalibrationRecord(
        schema_version=SCHEMA_VERSION,
        settings=settings,
        normal_label_change_rate=NormalRate(**asdict(normal)),
        policies=dict(policies),
    )


def paper_for(normal: MeanRate, settings: CalibrationSettings) -> Sprt:
    """``detection.calibration.paper_test`` with these settings."""
    return paper_test(
        normal,
        rho=settings.rho,
        alpha=settings.alpha,
        beta=settings.beta,
        delta_ratio=settings.delta_ratio,
    )


def calibrated_for(parts: CleanParts, settings: CalibrationSettings) -> CalibratedPolicy:
    """``detection.calibration.calibrated_policy`` with these settings."""
    return calibrated_policy(
        parts,
        max_false_alarm=settings.max_false_alarm,
        confidence=settings.confidence,
        max_miss=settings.max_miss,
        clean_mutants=settings.clean_mutants,
    )


def fixed_for(parts: CleanParts, settings: CalibrationSettings) -> CertifiedPolicy:
    """``detection.calibration.fixed_policy`` with these settings."""
    return fixed_policy(
        parts,
        mutants=settings.fixed_mutants,
        max_false_alarm=settings.max_false_alarm,
        confidence=settings.confidence,
        targets=ErrorBounds(settings.max_miss, settings.max_miss),
    )


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


def _record(
    policy: Policy, test: _Test, certificate: Certificate | None, parts: CleanParts
) -> tuple[str, PolicyRecord]:
    bounds = policy.error_bounds
    rates = estimate(policy, parts.certification, run(policy, parts.evidence))
    return policy.name, PolicyRecord(
        test=test,
        pool=policy.pool,
        hypotheses=HypothesesRecord(**policy.hypotheses._asdict()),
        error_bounds=bounds._asdict() if bounds else None,
        certificate=CertificateRecord(**asdict(certificate)) if certificate else None,
        false_alarms=RateEstimate(**asdict(rates.false_alarms)),
        alarms=RateEstimate(**asdict(rates.alarms)),
        undecided=RateEstimate(**asdict(rates.undecided)),
        alarms_or_undecided=RateEstimate(**asdict(rates.alarms_or_undecided)),
        mean_mutants=rates.mean_mutants,
        p99_mutants=rates.p99_mutants,
    )
