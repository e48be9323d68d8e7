"""Results of the strongest attacks on a store."""

from pydantic import Field

from evaluation.experiment.records.record import Interval, Record
from evaluation.experiment.records.results import Environment


class EvasionCell(Record):
    """Success of one attack, or of the strongest of all on each image, against one policy.

    Attributes:
        attack: name of the attack, or ``strongest``: per image, the best of all of this norm.
        knowledge: what the attacker has: the ``store``, the ``method`` or the ``answers`` alone.
        norm: measure of a change.
        size: largest change; smaller ones that evade count as well.
        policy: the policy, named after its rate of false alarms.
        images: number of images attacked, all labelled rightly before.
        fooled: share that an attack led to a wrong label at all, guard or no guard.
        evading: share wrongly labelled and cleared, with its Clopper–Pearson interval.
        after: share that evades after a quarter, a half, three quarters and all of the steps
            or questions; none for images that are judged at the end alone.
        proved: share for which no change of that size can be cleared under a wrong label, by the
            bounds of certified robust mutants; None where there are none, and for single attacks.
    """

    attack: str
    knowledge: str
    norm: str
    size: float
    policy: str
    images: int
    fooled: Interval
    evading: Interval
    after: list[float]
    proved: Interval | None = None


class Check(Record):
    """Check that attacks are what they should be: its name, whether it holds, and the figures."""

    name: str
    holds: bool
    text: str


class PolicyFigures(Record):
    """Policy under attack: bounds in full doubts, and figures of clean certification images.

    Attributes:
        name: name of the policy.
        clears_first: most doubt that clears after the first mutant; None where none does.
        alarms_first: least doubt that alarms after the first mutant.
        threshold: least summed doubt of an alarm.
        mutants: mean number of mutants of an image.
        passes: mean work for an image, as passes of the classifier, its own among them.
    """

    name: str
    clears_first: float | None
    alarms_first: float
    threshold: float
    mutants: float | None = None
    passes: float | None = None


class EarlierCell(Record):
    """Evasion of a store without robust mutants, from the report of an earlier experiment.

    Attributes:
        detector: policy of its store.
        knowledge: what the attacker had: the ``store`` or the ``method``.
        size: largest change of a pixel.
        images: number of images attacked.
        evading: share wrongly labelled without an alarm, by the best of its attacks on each image.
    """

    detector: str
    knowledge: str
    size: float
    images: int
    evading: Interval


class EvasionResults(Record):
    """All of a report.

    Attributes:
        name: name of the experiment.
        title: heading.
        store: name and version of the store.
        mutants: its mutants, and what operators made them.
        another: version of the attacker's own store; None where no attack needs one.
        data: SPEC of the images.
        steps: settings of each attack in words.
        policies: policies under attack.
        cells: the attacks' success.
        checks: checks of the attacks.
        environment: machine, versions and seconds.
        build_seconds: time from the trained classifier to the published store; None where it was
            not measured.
        earlier: name of the report of an earlier experiment; None where none stands beside.
        earlier_cells: its figures at the same sizes.
    """

    name: str
    title: str
    store: str
    mutants: str
    another: str | None
    data: str
    steps: dict[str, str]
    policies: list[PolicyFigures]
    cells: list[EvasionCell]
    checks: list[Check]
    environment: Environment
    build_seconds: float | None = None
    earlier: str | None = None
    earlier_cells: list[EarlierCell] = Field(default=[])
