"""Content of ``calibration.json``: the policies of a version and their measured rates.

Its imports are light: the server reads the file with pydantic alone.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal, TypedDict

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import Field, model_validator

from mutant_guard.decision.calibration.certification import images_needed
from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt, Mixture
from mutant_guard.decision.sequential.policies import ErrorBounds, Policy
from mutant_guard.decision.sequential.sprt import Sprt
from mutant_guard.store.doubts_record import DoubtsRecord, StagedRecord
from mutant_guard.store.manifest import Frozen, Rate

Share = Annotated[float, Gt(0), Lt(1)]

_LABEL_CHANGES, _DOUBTS = 20.0, 1.5
"""Number of mutants that a clean image may cost by default."""
_OWN_WEIGHT, _WITH_COMPANIONS = 0.25, 1.0


class Certified(TypedDict):
    """Promise of a certified policy: its false-alarm rate, with this confidence."""

    max_false_alarm: float
    confidence: float


class Nominal(TypedDict):
    """Parameters of the paper's test."""

    rho: float
    alpha: float
    beta: float
    delta_ratio: float


class CalibrationSettings(Frozen):
    """Settings from which the policies are calibrated.

    Attributes:
        max_false_alarm: false-alarm rate that ``calibrated`` and ``fixed`` are certified for.
        confidence: one-sided level of that certificate.
        max_miss: bound on misses of ``calibrated``, and of ``fixed`` at its upper hypothesis.
        clean_mutants: expected number of mutants of a clean image that ``calibrated`` may cost;
            None stands for 20 with label changes or 1.5 with doubts.
        fixed_mutants: mutants of ``fixed``, or the whole pool where that is smaller.
        rho: the paper's ρ, by which its threshold is scaled.
        alpha: nominal bound on misses of ``paper``.
        beta: nominal bound on false alarms of ``paper``.
        delta_ratio: δ/ςh of ``paper``.
        evidence: evidence that ``calibrated`` and ``fixed`` add up; ``auto`` stands for doubts
            (``soft``) where the pool has retrained or robust mutants or companions and for label
            changes elsewhere.
            ``paper`` always counts label changes.
        own_weight: number of mutants that the original's own evidence counts as, where evidence is
            soft (see ``Doubts``), and where the pool has companions times their number; None stands
            for 1 where it has, for 0 where it has robust mutants that started from the original,
            and for 0.25 elsewhere.
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
    own_weight: Annotated[float, Ge(0)] | None = None

    @property
    def certification_images(self) -> int:
        """Least number of rightly classified images that certify the false-alarm rate."""
        return images_needed(self.max_false_alarm, self.confidence)

    @property
    def budget(self) -> float:
        """Number of mutants that a clean image may cost.

        It is ``clean_mutants``, or the default for the evidence, which has to be decided.
        """
        return self.clean_mutants or (_DOUBTS if self.evidence == "soft" else _LABEL_CHANGES)

    @property
    def weight_of_original(self) -> float:
        """Number of mutants that the original's own evidence counts as."""
        return _OWN_WEIGHT if self.own_weight is None else self.own_weight

    @property
    def certified(self) -> Certified:
        """Rate and confidence of a certified policy, as keyword arguments."""
        return {"max_false_alarm": self.max_false_alarm, "confidence": self.confidence}

    @property
    def nominal(self) -> Nominal:
        """Parameters of the paper's test, as keyword arguments."""
        return {"rho": self.rho, "alpha": self.alpha, "beta": self.beta, "delta_ratio": self.delta_ratio}

    def changed(self, **given: Any) -> "CalibrationSettings":
        """Return these settings with the given values in place; None leaves a setting as it is.

        Raises:
            pydantic.ValidationError: a value is out of its range, or a setting does not exist.
        """
        chosen = {name: value for name, value in given.items() if value is not None}
        return CalibrationSettings.model_validate(self.model_dump() | chosen)

    def decided(self, operators: Iterable[str], *, from_original: bool = False) -> "CalibrationSettings":
        """Return these settings with the kind and weight of evidence decided, for a pool.

        Args:
            operators: operators of its mutants.
            from_original: whether it has robust mutants, all of which started from the original.
                What the original says itself then counts nothing: whoever attacks it decides that,
                and the bound of the first doubt can be lower without it.
        """
        names = set(operators)
        weight = self.own_weight
        if weight is None:
            weight = 0.0 if from_original else _OWN_WEIGHT
            weight = _WITH_COMPANIONS if "companion" in names else weight
        evidence = self.evidence
        if evidence == "auto":
            evidence = "label_change" if names.isdisjoint({"retrain", "companion", "robust"}) else "soft"
        return self.model_copy(update={"evidence": evidence, "own_weight": weight})


class SprtRecord(Frozen):
    """Wald's test between two label change rates, in the form of Algorithm 1."""

    kind: Literal["sprt"] = "sprt"
    p0: Share
    p1: Share
    alpha: Share
    beta: Share


class FinitePoolRecord(Frozen):
    """Sequential test on label change counts over the whole pool, around ``threshold``.

    ``normal`` holds pairs of a count and its weight in the test's normal hypothesis.
    ``false_alarm`` is the false-alarm probability that the policy's lower hypothesis is given for.
    """

    kind: Literal["finite-pool-sprt"] = "finite-pool-sprt"
    threshold: int
    normal: list[tuple[Annotated[int, Ge(0)], Annotated[float, Gt(0), Le(1)]]]
    high: int
    alpha: Share
    beta: Share
    false_alarm: Share

    @model_validator(mode="after")
    def _counts_increase(self) -> "FinitePoolRecord":
        if any(first >= second for (first, _), (second, _) in pairwise(self.normal)):
            raise ValueError("the counts of normal images must increase")
        return self


class FixedRecord(Frozen):
    """Test after a fixed number of mutants: adversarial from ``threshold`` label changes on.

    ``alpha`` and ``beta`` are the error probabilities at its two hypotheses.
    """

    kind: Literal["fixed"] = "fixed"
    mutants: Annotated[int, Ge(1)]
    threshold: Annotated[int, Ge(1)]
    alpha: Rate
    beta: Rate

    @model_validator(mode="after")
    def _threshold_can_be_met(self) -> "FixedRecord":
        if self.threshold > self.mutants:
            raise ValueError(f"{self.mutants:,} mutants never change {self.threshold:,} labels")
        return self


class HypothesesRecord(Frozen):
    """Hypotheses of the error bounds, as label change counts.

    Inputs are normal up to ``low`` label changes, and adversarial from ``high``.
    """

    low: int
    high: int

    @classmethod
    def of(cls, policy: Policy) -> "HypothesesRecord | None":
        """Return the hypotheses of a policy; None for one that does not count label changes."""
        return None if policy.about is None else cls(**policy.about._asdict())


class CertificateRecord(Frozen):
    """Certificate of a false-alarm rate of at most ``max_false_alarm``.

    It holds with ``confidence`` over the draw of the images, conditional on this calibration: of
    ``images`` rightly classified certification images, ``alarms`` raised an alarm. At most
    ``allowed`` alarms give a one-sided Clopper–Pearson bound of ``max_false_alarm``.
    """

    guarantee: Literal["conditional, one-sided Clopper-Pearson"] = "conditional, one-sided Clopper-Pearson"
    max_false_alarm: float
    confidence: float
    images: int
    alarms: int
    allowed: int


class RateEstimate(Frozen):
    """Rate counted on certification images, with its exact (Clopper–Pearson) interval."""

    count: Annotated[int, Ge(0)]
    trials: Annotated[int, Ge(0)]
    rate: Rate
    low: Rate
    high: Rate
    confidence: Rate


class PolicyRecord(Frozen):
    """Policy and its rates on the certification images.

    ``error_bounds`` are bounds on misses and false alarms at ``hypotheses``, null where the pool is
    too small for them; a test on doubts has neither. ``certificate`` is null for a policy whose
    threshold is not certified. The rates are counted with one order for each image.
    ``mean_mutants`` and ``p99_mutants`` are exact over all orders for a test on label changes, and
    counted too for a test on doubts. Where there is a certificate, the threshold was set on the
    same images.
    """

    test: Annotated[SprtRecord | FinitePoolRecord | FixedRecord | StagedRecord, Field(discriminator="kind")]
    pool: Annotated[int, Ge(1)]
    hypotheses: HypothesesRecord | None
    error_bounds: dict[str, float] | None
    certificate: CertificateRecord | None
    false_alarms: RateEstimate
    alarms: RateEstimate
    undecided: RateEstimate
    alarms_or_undecided: RateEstimate
    mean_mutants: float
    p99_mutants: int

    @model_validator(mode="after")
    def _no_more_mutants_than_there_are(self) -> "PolicyRecord":
        used = self.test.mutants if isinstance(self.test, FixedRecord | StagedRecord) else self.pool
        if used > self.pool:
            raise ValueError(f"it uses {used:,} mutants of {self.pool:,}")
        return self

    def baseline(self, *, undecided: bool) -> RateEstimate:
        """Return the rate of alarms on all clean images.

        Args:
            undecided: whether an undecided verdict counts as an alarm.
        """
        return self.alarms_or_undecided if undecided else self.alarms

    def policy(self, name: str) -> Policy:
        """Return the policy of this record.

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
    """Content of ``calibration.json``: settings, the clean-data statistic, and all policies.

    ``normal_label_change_rate`` is null, and there is no ``paper``, where no mutant of a pool with
    soft evidence changes any label. ``doubts`` records the computation of the doubts kept in the
    store, null where there are none.
    """

    schema_version: int
    settings: CalibrationSettings
    normal_label_change_rate: NormalRate | None
    doubts: DoubtsRecord | None = None
    policies: Annotated[dict[str, PolicyRecord], Len(1)]
