"""``calibration.json``: the policies of a version and what they do. Light: the server reads it with pydantic alone."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypedDict

from annotated_types import Ge, Gt, Lt
from pydantic import Field

from mutant_guard.decision.calibration.certification import images_needed
from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt, Mixture
from mutant_guard.decision.sequential.policies import ErrorBounds, Policy
from mutant_guard.decision.sequential.sprt import Sprt
from mutant_guard.store.doubts_record import DoubtsRecord, StagedRecord
from mutant_guard.store.manifest import Frozen, Rate

Share = Annotated[float, Gt(0), Lt(1)]

_LABEL_CHANGES, _DOUBTS = 20.0, 1.5
"""Mutants a clean image may cost by default."""


class Certified(TypedDict):
    """What a certified policy promises: its false-alarm rate, with this confidence."""

    max_false_alarm: float
    confidence: float


class Nominal(TypedDict):
    """What the paper's test is made of."""

    rho: float
    alpha: float
    beta: float
    delta_ratio: float


class CalibrationSettings(Frozen):
    """What was asked of the policies.

    Attributes:
        max_false_alarm: false-alarm rate that ``calibrated`` and ``fixed`` are certified for.
        confidence: one-sided level of that certificate.
        max_miss: bound on misses of ``calibrated``, and of ``fixed`` at its upper hypothesis.
        clean_mutants: expected number of mutants of a clean image that ``calibrated`` may cost; None stands for 20
            label changes or 1.5 doubts.
        fixed_mutants: mutants of ``fixed``, or the whole pool where that is smaller.
        rho: the paper's ρ, by which its threshold is scaled.
        alpha: nominal bound on misses of ``paper``.
        beta: nominal bound on false alarms of ``paper``.
        delta_ratio: δ/ςh of ``paper``.
        evidence: what ``calibrated`` and ``fixed`` add up; ``auto`` stands for doubts (``soft``) where the pool has
            retrained mutants and for label changes elsewhere. ``paper`` always counts label changes.
        own_weight: how many mutants the original's own doubt counts as, where evidence is soft.
    """

    max_false_alarm: Share = 0.05
    confidence: Share = 0.95
    max_miss: Share = 0.1
    clean_mutants: Annotated[float, Ge(1)] | None = None
    fixed_mutants: Annotated[int, Ge(1)] = 100
    rho: Annotated[float, Gt(0)] = 1.0
    alpha: Share = 0.05
    beta: Share = 0.05
    delta_ratio: Share = 0.1
    evidence: Literal["auto", "label_change", "soft"] = "auto"
    own_weight: Annotated[float, Ge(0)] = 0.25

    @property
    def certification_images(self) -> int:
        """Fewest rightly classified images that certify the false-alarm rate."""
        return images_needed(self.max_false_alarm, self.confidence)

    @property
    def budget(self) -> float:
        """Mutants a clean image may cost, ``clean_mutants`` or what it stands for once evidence is decided."""
        return self.clean_mutants or (_DOUBTS if self.evidence == "soft" else _LABEL_CHANGES)

    @property
    def certified(self) -> Certified:
        """The rate and the confidence of a certified policy, as keyword arguments."""
        return {"max_false_alarm": self.max_false_alarm, "confidence": self.confidence}

    @property
    def nominal(self) -> Nominal:
        """The numbers of the paper's test, as keyword arguments."""
        return {"rho": self.rho, "alpha": self.alpha, "beta": self.beta, "delta_ratio": self.delta_ratio}

    def changed(self, **given: Any) -> "CalibrationSettings":
        """These settings with every one that is given, and not None, in its place.

        Raises:
            pydantic.ValidationError: a value is out of its range, or there is no such setting.
        """
        chosen = {name: value for name, value in given.items() if value is not None}
        return CalibrationSettings.model_validate(self.model_dump() | chosen)

    def decided(self, operators: Iterable[str]) -> "CalibrationSettings":
        """The same for a pool of these operators, with nothing left open but the budget."""
        if self.evidence != "auto":
            return self
        soft = "retrain" in operators
        return self.model_copy(update={"evidence": "soft" if soft else "label_change"})


class SprtRecord(Frozen):
    """Wald's test between two label change rates, as Algorithm 1 has it."""

    kind: Literal["sprt"] = "sprt"
    p0: float
    p1: float
    alpha: float
    beta: float


class FinitePoolRecord(Frozen):
    """The sequential test on label change counts over the whole pool, around ``threshold``.

    ``normal`` are pairs of a count and its weight in the test's normal hypothesis; ``false_alarm`` is what the policy's
    lower hypothesis is given for.
    """

    kind: Literal["finite-pool-sprt"] = "finite-pool-sprt"
    threshold: int
    normal: list[tuple[int, float]]
    high: int
    alpha: float
    beta: float
    false_alarm: float


class FixedRecord(Frozen):
    """So many mutants, adversarial from ``threshold`` label changes among them; α and β at its two hypotheses."""

    kind: Literal["fixed"] = "fixed"
    mutants: int
    threshold: int
    alpha: float
    beta: float


class HypothesesRecord(Frozen):
    """Label change counts that the error bounds are about: normal up to ``low``, adversarial from ``high``."""

    low: int
    high: int

    @classmethod
    def of(cls, policy: Policy) -> "HypothesesRecord | None":
        """Those of a policy, None for one that does not count label changes."""
        return None if policy.about is None else cls(**policy.about._asdict())


class CertificateRecord(Frozen):
    """With ``confidence`` over the draw of the images, the false-alarm rate is at most ``max_false_alarm``.

    Conditional on this calibration: ``alarms`` of ``images`` rightly classified certification images, and at most
    ``allowed`` give a one-sided Clopper–Pearson bound of ``max_false_alarm``.
    """

    guarantee: Literal["conditional, one-sided Clopper-Pearson"] = "conditional, one-sided Clopper-Pearson"
    max_false_alarm: float
    confidence: float
    images: int
    alarms: int
    allowed: int


class RateEstimate(Frozen):
    """A rate counted on certification images, with its exact (Clopper–Pearson) interval."""

    count: int
    trials: int
    rate: Rate
    low: Rate
    high: Rate
    confidence: Rate


class PolicyRecord(Frozen):
    """A policy and what it did on the certification images.

    ``error_bounds`` are bounds on misses and false alarms at ``hypotheses``, null where the pool is too small for
    them; a test on doubts has neither. ``certificate`` is null for a policy whose threshold is not certified. The
    rates are counted with one order an image; ``mean_mutants`` and ``p99_mutants`` are exact over all orders for a
    test on label changes and counted as well for one on doubts. Where there is a certificate, the threshold was set
    on the same images.
    """

    test: Annotated[SprtRecord | FinitePoolRecord | FixedRecord | StagedRecord, Field(discriminator="kind")]
    pool: int
    hypotheses: HypothesesRecord | None
    error_bounds: dict[str, float] | None
    certificate: CertificateRecord | None
    false_alarms: RateEstimate
    alarms: RateEstimate
    undecided: RateEstimate
    alarms_or_undecided: RateEstimate
    mean_mutants: float
    p99_mutants: int

    def baseline(self, *, undecided: bool) -> RateEstimate:
        """Alarms on all clean images; ``undecided``: whether such a verdict counts as one."""
        return self.alarms_or_undecided if undecided else self.alarms

    def policy(self, name: str) -> Policy:
        """The policy itself.

        Raises:
            ValueError: the record makes no test.
        """
        test = self.test
        match test:
            case SprtRecord():
                return builders.sequential(name, Sprt(test.p0, test.p1, test.alpha, test.beta), self.pool)
            case FinitePoolRecord():
                normal = Mixture(
                    tuple(entry[0] for entry in test.normal), tuple(entry[1] for entry in test.normal)
                )
                between = FinitePoolSprt(self.pool, normal, test.high, test.alpha, test.beta)
                return builders.without_replacement(name, between, test.false_alarm)
            case FixedRecord():
                targets = ErrorBounds(test.alpha, test.beta)
                return builders.fixed(name, test.mutants, test.threshold, self.pool, targets)
            case StagedRecord():
                return test.policy(name, self.pool)


class NormalRate(Frozen):
    """Mean label change rate of correctly classified images of the choice part."""

    images: int
    mean: float
    half_width: float
    confidence: float


class CalibrationRecord(Frozen):
    """``calibration.json``: what was asked for, the clean-data statistic, and every policy that came from it.

    ``normal_label_change_rate`` is null, and there is no ``paper``, where no mutant of a pool with soft evidence
    changes any label. ``doubts`` is how the doubts kept in the store were computed, null where there are none.
    """

    schema_version: int
    settings: CalibrationSettings
    normal_label_change_rate: NormalRate | None
    doubts: DoubtsRecord | None = None
    policies: dict[str, PolicyRecord]
