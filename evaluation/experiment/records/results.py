"""``results.json``: every figure of an experiment, a record a cell.

The report is made from it alone.
"""

from pydantic import Field

from evaluation.experiment.records.record import Interval, Record
from evaluation.experiment.records.trained_results import (
    EarlyCell,
    PairedCell,
    SuggestionCell,
    TargetCell,
    TrainedPool,
)

NORMAL, WRONG = "normal", "wrong"
"""Kinds of clean test images: those that the classifier labels rightly, and wrongly."""


class KindResult(Record):
    """Images of one kind, and how they were made.

    Attributes:
        kind: ``normal``, ``wrong`` or an attack's name.
        paper: column of the paper's tables that it belongs in, or None.
        method: method of the attack, or None for clean images.
        settings: settings of the attack.
        attempts: number of images attacked, all labelled rightly before.
        success: share of the attempts that fool the classifier after rounding to 8 bits.
        images: number of images kept.
        l2: mean L2 distance from the source, pixels 0 to 1.
        linf: mean L∞ distance.
        linf_most: largest L∞ distance.
        seconds: time it took to make them.
    """

    kind: str
    paper: str | None
    method: str | None
    settings: dict[str, object]
    attempts: int
    success: Interval | None
    images: int
    l2: float | None
    linf: float | None
    linf_most: float | None
    seconds: float | None


class PaperValue(Record):
    """Figure of the paper, with the half width of its 99 % interval where it has one."""

    value: float
    half_width: float | None = None


class PoolResult(Record):
    """Number of mutants drawn for the accurate ones of a pool; ``refused`` says why it is None."""

    operator: str
    rate: float
    seed: int
    drawn: int | None
    refused: str | None


class RateCell(Record):
    """Tables II and IV: the mean label change rate of a kind, with its 99 % interval.

    An image's rate is the mean over pools.
    """

    operator: str
    rate: float
    kind: str
    images: int
    mean: Interval
    per_pool: list[float]
    paper: PaperValue | None


class DistanceCell(Record):
    """Figure 3: mean label change rate over that of normal images.

    The paper's value is the ratio of its table's cells.
    """

    operator: str
    rate: float
    kind: str
    distance: Interval
    paper: float | None


class AurocCell(Record):
    """Table V: the area under the ROC curve of the label change rate over all mutants.

    It is the mean over pools.
    """

    operator: str
    rate: float
    kind: str
    auroc: Interval
    per_pool: list[float]
    paper: float | None


class DetectionCell(Record):
    """Figure 4: the answers of Algorithm 1 at ρ, over all pools.

    Every image meets the mutants in the order the server would take. ``forced`` counts an exhausted
    pool by whether the rate is above ςh: the share that is right then.
    """

    operator: str
    rho: float
    kind: str
    adversarial: Interval
    undecided: Interval
    normal: Interval
    forced: Interval
    mean_mutants: float

    @property
    def no_alarm(self) -> Interval:
        """Share of normal or undecided verdicts: the right ones on normal images."""
        alarms = self.adversarial
        return Interval(value=1 - alarms.value, low=1 - alarms.high, high=1 - alarms.low)


class PaperDetection(Record):
    """The paper's averages at ρ = 1.

    They are accuracy on suspicious images, mutants for them, accuracy on normal images. ``columns``
    are those of its tables that are averaged.
    """

    operator: str
    columns: list[str]
    accuracy: float
    mutants: float
    normal: float


class PolicyCell(Record):
    """Answers of a policy of the served store on a kind, over all pools."""

    operator: str
    policy: str
    kind: str
    adversarial: Interval
    undecided: Interval
    mean_mutants: float


class CostCell(Record):
    """Table VI: cost of mutants.

    The costs are milliseconds a mutant and image, seconds an accurate mutant, and mutants of
    Algorithm 1. ``mutants`` is the mean on the attacks, None where Algorithm 1 was not run.
    ``generate_seconds`` is None where mutants were trained and nobody measured it.
    """

    operator: str
    forward_ms: float
    generate_seconds: float | None
    mutants: float | None
    paper: tuple[float, float, float] | None


class Method(Record):
    """Detector and its cost.

    Attributes:
        name: name of the detector.
        family: ``ours``, ``free``, ``clean`` (needs clean data or extra passes) or ``attacks``
            (trained on attacks).
        note: differences from its publication.
        forward_passes: number of passes of the classifier an image, its own label included; on
            clean images where it varies.
        milliseconds: median time for one image at a time.
        false_alarms_1: share of normal test images above the threshold that 1 % of clean
            calibration images pass.
        false_alarms_5: share of normal test images above the threshold that 5 % of them pass.
    """

    name: str
    family: str
    note: str
    forward_passes: float
    milliseconds: float | None
    false_alarms_1: Interval | None
    false_alarms_5: Interval


class MethodCell(Record):
    """Detector on a kind of images; thresholds are those of clean calibration images.

    ``auroc`` and ``detected_1`` are None for a policy, which has one operating point; ``matthews``
    is at ``detected_5``.
    """

    method: str
    kind: str
    auroc: Interval | None
    detected_1: Interval | None
    detected_5: Interval
    matthews: float


class RocCurve(Record):
    """ROC curve: detection at each share of false alarms."""

    method: str
    kind: str
    false_alarms: list[float]
    detected: list[float]


class Histogram(Record):
    """Shares of images by label change rate, one operator at its main rate.

    Bins have equal width from 0 to 1.
    """

    operator: str
    kind: str
    shares: list[float]


class MutantsUsed(Record):
    """Distribution of the mutants of a policy's verdict on a kind: quantiles 0, 1 … 100 %."""

    policy: str
    kind: str
    quantiles: list[float]


class Scatter(Record):
    """Softmax confidence and label change rate of some images of a kind."""

    kind: str
    confidence: list[float]
    label_change_rate: list[float]


class AdaptiveCell(Record):
    """Attack by an attacker that knows the guard.

    Attributes:
        attack: name of the attack, or ``worst case``: per image, the best of all attacks of this
            knowledge and size.
        knowledge: ``none``, ``method`` (own mutants by the same recipe) or ``store`` (the store's
            own mutants).
        epsilon: largest change of a pixel, pixels 0 to 1.
        detector: the policy or detector that judged.
        images: number of images attacked, all labelled rightly before.
        success: share that fools the classifier without a guard.
        detected: share of those that the detector alarms on; None where none fools.
        evading: share of all that fools it and raises no alarm.
        robust_accuracy: share of all that is labelled rightly or rejected.
    """

    attack: str
    knowledge: str
    epsilon: float
    detector: str
    images: int
    success: Interval
    detected: Interval | None
    evading: Interval
    robust_accuracy: Interval


class ShiftCell(Record):
    """Corrupted or foreign images: the classifier's accuracy and the detectors' alarms."""

    shift: str
    images: int
    accuracy: float | None
    alarms: dict[str, Interval]


class AgreementCell(Record):
    """Images of a kind posted to the real server: number of answers that are the evaluation's."""

    kind: str
    policy: str
    posted: int
    same: int


class Difference(Record):
    """Cell that differs from the paper's by more than the intervals, and the reason.

    ``explanation`` is None where the reason is not known. ``table`` is ``label change rate``,
    ``AUROC`` or ``detection``; ``interval`` is ours, 99 % for rates.
    """

    table: str
    operator: str
    rate: float
    kind: str
    interval: Interval
    paper: PaperValue
    explanation: str | None


class Environment(Record):
    """Environment in which the figures were measured."""

    hardware: str
    versions: dict[str, str]
    seconds: dict[str, float]


class Results(Record):
    """Results of one experiment.

    ``adaptive_report`` is the name of the report of attacks on such a store by who knows it, made
    by ``python -m evaluation adaptive``, where there is one.
    """

    name: str
    title: str
    model: str
    data: str
    accuracy: Interval
    test_images: int
    folded: bool
    operators: list[str]
    rates: list[float]
    main_rates: dict[str, float]
    seeds: list[int]
    mutants: int
    environment: Environment
    kinds: list[KindResult]
    pools: list[PoolResult]
    label_change_rates: list[RateCell]
    distances: list[DistanceCell]
    aurocs: list[AurocCell]
    detection: list[DetectionCell]
    paper_detection: list[PaperDetection]
    policies: list[PolicyCell]
    costs: list[CostCell]
    methods: list[Method]
    cells: list[MethodCell]
    curves: list[RocCurve]
    histograms: list[Histogram]
    mutants_used: list[MutantsUsed]
    scatter: list[Scatter]
    adaptive: list[AdaptiveCell]
    shifts: list[ShiftCell]
    agreement: list[AgreementCell]
    differences: list[Difference]
    sizes: dict[str, int] = Field(default={})
    trained: list[TrainedPool] = Field(default=[])
    paired: list[PairedCell] = Field(default=[])
    suggestions: list[SuggestionCell] = Field(default=[])
    early: list[EarlyCell] = Field(default=[])
    targets: list[TargetCell] = Field(default=[])
    adaptive_report: str | None = None
