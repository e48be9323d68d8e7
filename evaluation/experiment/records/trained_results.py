"""Records of figures that only trained mutants have."""

from pydantic import Field

from evaluation.experiment.records.record import Interval, Record


class PairedCell(Record):
    """Detector less another on the same images of a kind, both under their own thresholds.

    Images are resampled for both together. ``low`` above 0: better beyond chance; ``high`` below 0:
    worse.
    """

    method: str
    other: str
    kind: str
    images: int
    auroc: Interval
    detected_5: Interval
    detected_1: Interval


class SuggestionCell(Record):
    """Label that mutants agree on where a policy raises an alarm, over all pools.

    Attributes:
        operator: operator that made the mutants.
        policy: policy that raised the alarms.
        kind: kind of the images.
        alarms: number of alarms, of all pools.
        suggested: share of them with a suggestion; the classifier's own doubt may raise one before
            any mutant.
        right: share of those where the label most of the consumed mutants agree on, as the server
            suggests it, is the true one.
        right_of_all: share of all alarms where the label that most of all the mutants agree on is
            the true one.
        agreed: mean share of the consumed mutants that have the suggested label.
    """

    operator: str
    policy: str
    kind: str
    alarms: int
    suggested: Interval | None
    right: Interval | None
    right_of_all: Interval | None
    agreed: float | None


class EarlyCell(Record):
    """Answers of a policy on doubts on a kind, beside those if it always met the whole pool.

    ``lost`` is the share that it clears though all mutants together would have raised the alarm.
    """

    operator: str
    policy: str
    kind: str
    adversarial: Interval
    all_mutants: Interval
    lost: Interval
    mutants: Interval


class RobustFigures(Record):
    """Robust mutant of a pool.

    Attributes:
        network: name of its network.
        settings: settings of its training.
        accuracy: share of held-back training images that it gets right.
        robust_accuracy: share of them that it gets right under attack.
        certified: whether it was trained with bounds on its answers.
        temperature: temperature of its softmax.
        relative_cost: its work for an image, as a multiple of the classifier's.
    """

    network: str
    settings: dict[str, object]
    accuracy: float
    robust_accuracy: float
    certified: bool
    temperature: float
    relative_cost: float


class TrainedPool(Record):
    """Pool of trained mutants: training, accuracy, and the basis of its policies.

    Attributes:
        operator: name of the operator.
        seed: seed of the pool.
        settings: settings of the training of its retrained mutants; none where it has none.
        original_accuracy: accuracy of the classifier on all calibration images.
        accuracies: accuracies of the mutants on these images.
        temperatures: temperatures of the classifier, and of the mutants.
        threshold: summed doubt from which ``calibrated`` raises an alarm, in mutants of full doubt.
        seconds: time from the trained classifier to the published store, on the machine of the
            report and beside whatever else it did.
        alone: doubt from which the first mutant alone raises the alarm of ``calibrated``; None
            where it does not.
        robust: robust mutants of the pool.
    """

    operator: str
    seed: int
    settings: dict[str, object]
    original_accuracy: float
    accuracies: list[float]
    temperatures: tuple[float, float]
    threshold: float
    seconds: float | None
    alone: float | None = None
    robust: list[RobustFigures] = Field(default=[])


class TargetCell(Record):
    """Figure that was asked for, and its result.

    Attributes:
        figure: name of the figure.
        method: the detector or policy it is of.
        kind: kind of images; for an attack by an attacker that knows the guard, its name, knowledge
            and size.
        prototype: value that a first try measured.
        reach: value that is asked for.
        at_most: whether less is better.
        images: number of images it was measured on.
        value: our value; None where it was not measured.
        met: whether the value reaches it.
    """

    figure: str
    method: str
    kind: str
    prototype: float | None
    reach: float | None
    at_most: bool
    images: int
    value: Interval | None
    met: bool | None
