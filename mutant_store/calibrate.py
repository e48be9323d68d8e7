"""Calibration of a bank: label changes of clean images, the policies they give, what these policies then do."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from detection.calibration import (
    CalibrationError,
    Estimates,
    Recording,
    calibrated_policy,
    estimate,
    normal_rate,
    paper_policy,
)
from detection.policies import SprtPolicy
from mutant_store.bank_session import BankSession
from mutant_store.errors import DataError
from mutant_store.manifest import SCHEMA_VERSION, CalibrationRecord, NormalRate, PolicyRecord, RateEstimate
from mutant_store.subject import Part

_IMAGE_BLOCK = 50


class _Reporter(Protocol):
    def progress(self, done: int, total: int, note: str) -> None: ...


@dataclass(frozen=True)
class CalibrationSettings:
    """Knobs of both policies.

    Attributes:
        rho: the paper's ρ, by which its threshold is scaled.
        alpha: nominal bound on misses.
        beta: nominal bound on false alarms.
        delta_ratio: δ/ςh of the paper's policy.
        max_false_alarm: false-alarm rate the calibrated policy is chosen for.
    """

    rho: float = 1.0
    alpha: float = 0.05
    beta: float = 0.05
    delta_ratio: float = 0.1
    max_false_alarm: float = 0.05


def calibrate(
    session: BankSession,
    mutants: int,
    choice: Part,
    certification: Part,
    settings: CalibrationSettings,
    seed: int,
    report: _Reporter,
) -> CalibrationRecord:
    """Choose every policy on ``choice`` and estimate its rates on ``certification``.

    Raises:
        DataError: the images do not allow the policies asked for.
    """
    total = len(choice.labels) + len(certification.labels)
    chosen = record(session, mutants, choice, lambda n: report.progress(n, total, "images"))
    offset = len(choice.labels)
    certified = record(
        session, mutants, certification, lambda n: report.progress(offset + n, total, "images")
    )
    try:
        normal = normal_rate(chosen)
        common = {"alpha": settings.alpha, "beta": settings.beta}
        paper = paper_policy(normal, mutants, rho=settings.rho, delta_ratio=settings.delta_ratio, **common)
        calibrated = calibrated_policy(
            chosen, normal, max_false_alarm=settings.max_false_alarm, seed=seed, **common
        )
        own = {
            "paper": {"rho": settings.rho, "delta_ratio": settings.delta_ratio},
            "calibrated": {"max_false_alarm": settings.max_false_alarm},
        }
        policies = {
            policy.name: _policy_record(policy, own[policy.name], estimate(policy, certified, seed + 1))
            for policy in (paper, calibrated)
        }
    except CalibrationError as error:
        raise DataError(str(error)) from error
    return CalibrationRecord(
        schema_version=SCHEMA_VERSION,
        normal_label_change_rate=NormalRate(**asdict(normal)),
        policies=policies,
    )


def record(session: BankSession, mutants: int, part: Part, progress: Callable[[int], None]) -> Recording:
    """Label changes of every image of a part under every mutant of the bank."""
    everyone = np.arange(mutants + 1)
    blocks = []
    for start in range(0, len(part.labels), _IMAGE_BLOCK):
        labels = session.labels(part.inputs[start : start + _IMAGE_BLOCK], everyone)
        blocks.append(labels[:, 1:] != labels[:, :1])
        progress(min(start + _IMAGE_BLOCK, len(part.labels)))
    return Recording(np.concatenate(blocks), part.correct)


def _policy_record(policy: SprtPolicy, settings: dict[str, float], rates: Estimates) -> PolicyRecord:
    bounds = policy.error_bounds
    return PolicyRecord(
        p0=policy.test.p0,
        p1=policy.test.p1,
        alpha=policy.test.alpha,
        beta=policy.test.beta,
        pool=policy.pool,
        error_bounds=bounds._asdict() if bounds else None,
        settings=settings,
        false_alarms=RateEstimate(**asdict(rates.false_alarms)),
        alarms=RateEstimate(**asdict(rates.alarms)),
        undecided=RateEstimate(**asdict(rates.undecided)),
        alarms_or_undecided=RateEstimate(**asdict(rates.alarms_or_undecided)),
        mean_mutants=rates.mean_mutants,
        p99_mutants=rates.p99_mutants,
    )
