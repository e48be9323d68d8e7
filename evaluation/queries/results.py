"""Results of the attacks by queries."""

from evaluation.experiment.records.record import Interval, Record
from evaluation.experiment.records.results import Environment


class QueryCell(Record):
    """Campaigns of one attack in one scenario.

    Attributes:
        scenario: name of the scenario.
        attack: name of the attack, or ``all`` for all of the scenario together.
        norm: measure of a change; None for all together.
        size: largest change that counts; None for all together.
        images: number of images attacked, one campaign each.
        budget: most queries of a campaign.
        evaded: share of campaigns that found an image near enough that the classifier labels
            wrongly and that was answered so, without an alarm.
        after: the same after fewer queries, by the numbers of queries.
        misled: share in which the policy answered a wrong label for an image near enough that the
            classifier labels rightly.
        seen: share that was told to be a campaign, or refused; None where nothing is remembered.
        seen_median: median number of queries until then; None where fewer are seen.
        seen_95: the same of 95 % of the campaigns.
        unseen: share that evaded before it was seen; None where nothing is remembered.
        evaded_queries: median queries of those that evaded; None where none did.
        queries: mean number of queries of a campaign.
        refusals: mean number of refused ones.
        ends: number of campaigns by the cause of their end.
    """

    scenario: str
    attack: str
    norm: str | None
    size: float | None
    images: int
    budget: int
    evaded: Interval
    after: dict[int, float]
    misled: Interval
    seen: Interval | None
    seen_median: float | None
    seen_95: float | None
    unseen: Interval | None
    evaded_queries: float | None
    queries: float
    refusals: float
    ends: dict[str, int]


class HttpAgreement(Record):
    """Campaigns in process and over HTTP: their number, and how many ended alike."""

    scenario: str
    attack: str
    campaigns: int
    alike: int


class QueryResults(Record):
    """All of a report.

    Attributes:
        name: name of the experiment.
        title: heading.
        store: name and version of the store.
        data: SPEC of the images.
        scenarios: each scenario in words, by name.
        attacks: settings of each attack, by name.
        memory: the memory of queries in words.
        patience: refusals in a row that end a campaign.
        cells: the campaigns.
        http: agreement with the real server.
        environment: machine, versions and seconds.
    """

    name: str
    title: str
    store: str
    data: str
    scenarios: dict[str, str]
    attacks: dict[str, str]
    memory: str
    patience: int
    cells: list[QueryCell]
    http: list[HttpAgreement]
    environment: Environment
