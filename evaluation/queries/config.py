"""Configuration of the attacks by queries: a TOML file."""

from pathlib import Path
from typing import Annotated, Any, Self

from annotated_types import Ge, Len
from pydantic import model_validator

from evaluation.experiment.material.config import read_toml
from evaluation.queries.oracle import Limit, Norm, Rules
from evaluation.queries.settings import AttackSettings, Count, Positive
from mutant_guard.store.manifest import Frozen
from service.probing.policy import QueryPolicy

_FOLDER = "{data}"


class Limits(Frozen):
    """Largest changes that count, by norm; pixels from 0 to 1."""

    linf: Positive
    l2: Positive


class Scenario(Frozen):
    """Circumstances under which all attacks are made.

    Attributes:
        name: name in the report.
        guard: whether the verdict is given; otherwise answers are the bare label.
        memory: what becomes of queries that belong to a campaign, if any are remembered.
        attacks: names of the attacks; none stands for all that do not adapt to refusals.
        images: number of images, the first of all; None for all.
        budget: most queries an image; None for that of the experiment.
        scores: whether answers tell the confidence and the doubt.
        accounts: number of accounts that take turns; 0 for a new one each query.
        pause: seconds between two queries.
        heeds_verdict: whether the attacker counts an alarm as not fooled.
        frames: near-identical images of a scene from which they are a campaign without any clue in
            their pixels; None for the server's default.
    """

    name: Annotated[str, Len(1)]
    guard: bool = False
    memory: QueryPolicy = QueryPolicy.OFF
    attacks: tuple[str, ...] = ()
    images: Count | None = None
    budget: Count | None = None
    scores: bool = True
    accounts: Annotated[int, Ge(0)] = 1
    pause: Annotated[float, Ge(0)] = 0.0
    heeds_verdict: bool = True
    frames: Annotated[int, Ge(2)] | None = None


class HttpCheck(Frozen):
    """Campaigns that are also run against the real server, and have to end alike.

    Attributes:
        scenarios: names of the scenarios.
        attacks: names of the attacks.
        images: number of images.
        budget: most queries an image.
    """

    scenarios: Annotated[tuple[str, ...], Len(1)]
    attacks: Annotated[tuple[str, ...], Len(1)]
    images: Count = 2
    budget: Count = 200


class Published(Frozen):
    """Published classifier with companions, whose store is built where none is given.

    Attributes:
        original: name of the classifier.
        companions: names of those that serve as its mutants.
        photographs: folder of the photographs.
        calibrating: number of photographs that the store is built with.
    """

    original: str
    companions: Annotated[tuple[str, ...], Len(1)]
    photographs: str
    calibrating: Count


class QueriesConfig(Frozen):
    """Configuration of the attacks by queries.

    Attributes:
        title: heading of the report.
        data: SPEC of labelled images, ``{data}`` standing for the folder given to the command;
            None where ``published`` names photographs.
        published: published classifier that is attacked, or none.
        images: number of rightly labelled images attacked.
        budget: most queries an image.
        marks: numbers of queries after which success is told as well.
        patience: refusals in a row after which the attacker takes them as final.
        limits: largest changes that count.
        entries: number of queries remembered.
        seconds: time for which a query is remembered.
        block: number of images attacked at a time, and kept.
        seed: seed of all random choices.
        attacks: the attacks.
        scenarios: the scenarios.
        http: campaigns that are run over HTTP too, or none.
    """

    title: str
    data: str | None = None
    published: Published | None = None
    images: Count
    budget: Count = 10_000
    marks: tuple[Count, ...] = (100, 1000)
    patience: Count = 200
    limits: Limits
    entries: Annotated[int, Ge(16)] = 100_000
    seconds: Positive = 3600.0
    block: Count = 5
    seed: Annotated[int, Ge(0)] = 0
    attacks: Annotated[tuple[AttackSettings, ...], Len(1)]
    scenarios: Annotated[tuple[Scenario, ...], Len(1)]
    http: HttpCheck | None = None

    @model_validator(mode="after")
    def _there_are_images(self) -> Self:
        if (self.data is None) == (self.published is None):
            raise ValueError("give data, or published, which has its own photographs")
        if self.published is not None and self.http is not None:
            raise ValueError(
                "leave out http: the server would resize and crop photographs of the model's size"
            )
        return self

    @model_validator(mode="after")
    def _names_are_there(self) -> Self:
        attacks = [attack.name for attack in self.attacks]
        scenarios = [scenario.name for scenario in self.scenarios]
        for names in (attacks, scenarios):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"names used twice: {', '.join(twice)}")
        asked = [name for scenario in self.scenarios for name in scenario.attacks]
        over_http = () if self.http is None else self.http.scenarios
        asked += [] if self.http is None else self.http.attacks
        if unknown := sorted(set(asked) - set(attacks)) + sorted(set(over_http) - set(scenarios)):
            raise ValueError(f"there is no attack or scenario named {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _a_server_does_as_scenarios_over_http_say(self) -> Self:
        names = () if self.http is None else self.http.scenarios
        for scenario in (one for one in self.scenarios if one.name in names):
            if not scenario.scores or scenario.accounts != 1 or scenario.pause:
                raise ValueError(
                    f"over http scores are told, to one account, without pauses: not '{scenario.name}'"
                )
        return self

    @property
    def source(self) -> str:
        """The SPEC of the images, or the folder of the photographs, with ``{data}`` in it."""
        return self.published.photographs if self.published is not None else str(self.data)

    def of_folder(self, folder: Path) -> str:
        """Return ``source`` below a folder."""
        return self.source.replace(_FOLDER, str(folder))

    @property
    def needs_folder(self) -> bool:
        """Whether the folder given to the command matters."""
        return _FOLDER in self.source

    def attacks_of(self, scenario: Scenario) -> list[AttackSettings]:
        """Return the attacks of a scenario."""
        if scenario.attacks:
            return [attack for attack in self.attacks if attack.name in scenario.attacks]
        return [attack for attack in self.attacks if not getattr(attack, "adaptive", False)]

    def memory(self, scenario: Scenario) -> dict[str, Any]:
        """Return the settings of the server's memory of queries in a scenario, by name."""
        if scenario.memory is QueryPolicy.OFF:
            return {}
        settings = {"query_memory": scenario.memory.value, "query_entries": self.entries}
        settings["query_seconds"] = self.seconds
        return settings if scenario.frames is None else settings | {"query_frames": scenario.frames}

    def limit(self, norm: Norm) -> Limit:
        """Return the largest change that counts in a norm."""
        return Limit(norm, getattr(self.limits, norm))

    def rules(self, scenario: Scenario) -> Rules:
        """Return the rules of a scenario's campaigns."""
        return Rules(
            budget=scenario.budget or self.budget,
            patience=self.patience,
            accounts=scenario.accounts,
            pause=scenario.pause,
            heeds_verdict=scenario.heeds_verdict,
        )


def read_config(path: Path) -> QueriesConfig:
    """Read a configuration.

    Raises:
        DataError: the file cannot be read, or no attacks can be made of it; the message says where.
    """
    return read_toml(path, QueriesConfig)
