"""``report.json``: what a simulation found. Light: nothing here replays anything."""

from mutant_guard.store.calibration_record import HypothesesRecord, RateEstimate
from mutant_guard.store.manifest import Frozen

CLEAN = "clean"
WRONG = "wrongly classified"
"""The images of the clean set that the classifier gets wrong; a kind of their own."""


class ImageSet(Frozen):
    """Images of one kind; ``spec`` is None for those whose label changes are kept in the store."""

    spec: str | None
    images: int
    correct: int


class ImageSetOutcome(Frozen):
    """Verdicts on images of one kind, counted on one order an image; mutants used, exact over all orders."""

    adversarial: RateEstimate
    undecided: RateEstimate
    mean_mutants: float
    median_mutants: int
    p99_mutants: int


class Behaviour(Frozen):
    """What a policy did: with rightly classified clean images, and with every set, ``clean`` among them."""

    false_alarms: RateEstimate
    outcomes: dict[str, ImageSetOutcome]


class Distribution(Frozen):
    """Probability of each number of mutants, over all orders; numbers that hardly ever come about are left out."""

    mutants: list[int]
    probabilities: list[float]


class CharacteristicCurve(Frozen):
    """Exact operating characteristic: probabilities of two verdicts, and expected mutants, at label change rates."""

    rates: list[float]
    adversarial: list[float]
    undecided: list[float]
    mutants: list[float]


class PolicyReport(Frozen):
    """A policy replayed.

    ``threshold`` is the label change rate it decides around, None for a test between two rates, or for a test on
    doubts the mean doubt; ``hypotheses`` are label change counts of ``pool`` mutants. ``mutants_used`` has an entry a
    set. A test on doubts has neither hypotheses nor a characteristic: nothing is known of it but what images do.
    """

    pool: int
    threshold: float | None
    hypotheses: HypothesesRecord | None
    behaviour: Behaviour
    mutants_used: dict[str, Distribution]
    characteristic: CharacteristicCurve | None


class GridPoint(Frozen):
    """``calibrated`` at one setting; ``current`` where it is the store's own, ``command`` makes it so."""

    max_false_alarm: float
    clean_mutants: float
    current: bool
    threshold: int
    hypotheses: HypothesesRecord | None
    behaviour: Behaviour
    command: str


class LeftOut(Frozen):
    """A setting that the clean images kept in the store do not allow."""

    max_false_alarm: float
    clean_mutants: float
    reason: str


class Grid(Frozen):
    """Settings of ``calibrated`` in ascending order, each calibrated on the label changes kept in the store."""

    points: list[GridPoint]
    left_out: list[LeftOut]


class Simulation(Frozen):
    """``report.json``: everything that was found. ``notes`` say what the rates are worth, one sentence each."""

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
        """The sets whose images should raise an alarm."""
        return [name for name in self.sets if name != CLEAN]
