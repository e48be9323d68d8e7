"""Model of ``report.json``, the result of a simulation.

Importing it is cheap: nothing here replays anything.
"""

from mutant_guard.store.calibration_record import HypothesesRecord, RateEstimate
from mutant_guard.store.manifest import Frozen

CLEAN = "clean"
WRONG = "wrongly classified"
"""Name of the kind of images in the clean set that the classifier gets wrong."""


class ImageSet(Frozen):
    """Images of one kind.

    Attributes:
        spec: SPEC of the images; None for images whose label changes are kept in the store.
        images: number of images.
        correct: number of images that the original classifies correctly.
    """

    spec: str | None
    images: int
    correct: int


class ImageSetOutcome(Frozen):
    """Verdicts on images of one kind, and mutants used.

    Verdicts are counted on one order per image. Numbers of mutants are exact over all orders.

    Attributes:
        adversarial: share of images with an alarm.
        undecided: share of images without a verdict.
        mean_mutants: mean number of mutants used.
        median_mutants: median of the number of mutants used.
        p99_mutants: 99 % quantile of the number of mutants used.
    """

    adversarial: RateEstimate
    undecided: RateEstimate
    mean_mutants: float
    median_mutants: int
    p99_mutants: int


class Behaviour(Frozen):
    """Results of a policy on image sets.

    Attributes:
        false_alarms: alarms among the rightly classified clean images.
        outcomes: outcome on every set by name, ``clean`` among them.
    """

    false_alarms: RateEstimate
    outcomes: dict[str, ImageSetOutcome]


class Distribution(Frozen):
    """Probability of each number of mutants used, over all orders.

    Numbers that hardly ever come about are left out.

    Attributes:
        mutants: numbers of mutants, ascending.
        probabilities: probability of each number.
    """

    mutants: list[int]
    probabilities: list[float]


class CharacteristicCurve(Frozen):
    """Exact operating characteristic: verdicts and cost at label change rates.

    Attributes:
        rates: label change rates over the pool, ascending.
        adversarial: probability of the verdict adversarial at each rate.
        undecided: probability of no verdict at each rate.
        mutants: expected number of mutants at each rate.
    """

    rates: list[float]
    adversarial: list[float]
    undecided: list[float]
    mutants: list[float]


class PolicyReport(Frozen):
    """Replay of one policy.

    A test on doubts has neither hypotheses nor a characteristic: nothing is known about it except
    its results on images.

    Attributes:
        pool: number of mutants in the pool.
        threshold: label change rate that the policy decides around; for a test on doubts, the mean
            doubt; None for a test between two rates.
        hypotheses: numbers of label changes among the ``pool`` mutants between which the policy
            decides.
        behaviour: verdicts of the policy on every set.
        mutants_used: distribution of the mutants used, by set.
        characteristic: operating characteristic.
    """

    pool: int
    threshold: float | None
    hypotheses: HypothesesRecord | None
    behaviour: Behaviour
    mutants_used: dict[str, Distribution]
    characteristic: CharacteristicCurve | None


class GridPoint(Frozen):
    """Policy ``calibrated`` at one setting.

    Attributes:
        max_false_alarm: largest false-alarm rate asked for.
        clean_mutants: budget of mutants per clean image asked for.
        current: whether this is the store's own setting.
        threshold: threshold found, as a number of label changes or a sum of doubts.
        hypotheses: hypotheses found; None for a test on doubts.
        behaviour: results on every set.
        command: command that moves the store to this setting.
    """

    max_false_alarm: float
    clean_mutants: float
    current: bool
    threshold: int
    hypotheses: HypothesesRecord | None
    behaviour: Behaviour
    command: str


class LeftOut(Frozen):
    """Setting that the clean images kept in the store do not allow, with the reason."""

    max_false_alarm: float
    clean_mutants: float
    reason: str


class Grid(Frozen):
    """Settings of ``calibrated`` in ascending order.

    Each is calibrated on the label changes that are kept in the store.

    Attributes:
        points: settings that could be tried.
        left_out: settings that the images do not allow.
    """

    points: list[GridPoint]
    left_out: list[LeftOut]


class Simulation(Frozen):
    """Content of ``report.json``: everything that a simulation found.

    Attributes:
        store: name of the store.
        version: name of the version.
        seed: seed of the orders in which images meet the mutants.
        notes: sentences on what the rates are worth.
        sets: image sets by name.
        policies: replayed policies by name.
        reference: replay of the full pool.
        grid: ``calibrated`` at other settings; None where these were not tried.
    """

    store: str
    version: str
    seed: int
    notes: list[str]
    sets: dict[str, ImageSet]
    policies: dict[str, PolicyReport]
    reference: PolicyReport
    grid: Grid | None

    @property
    def kinds(self) -> list[str]:
        """Names of the sets whose images should raise an alarm."""
        return [name for name in self.sets if name != CLEAN]
