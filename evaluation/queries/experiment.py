"""Attacks by queries, from a configuration to results."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from zlib import crc32

from evaluation import hardware
from evaluation.attacks.digest import digest
from evaluation.attacks.randomness import seed_of
from evaluation.experiment.material.clock import Clock
from evaluation.experiment.records.results import Environment
from evaluation.queries.campaign import campaign, joined, packed
from evaluation.queries.config import HttpCheck, QueriesConfig, Scenario
from evaluation.queries.counting import cell
from evaluation.queries.material import Attacked, attacked
from evaluation.queries.oracle import Record, Rules
from evaluation.queries.results import HttpAgreement, QueryCell, QueryResults
from evaluation.queries.services.in_process import InProcess, remembered
from evaluation.queries.services.judge import StoreJudge
from evaluation.queries.services.over_http import OverHttp
from evaluation.queries.services.response import Service
from evaluation.queries.settings import AttackSettings
from evaluation.queries.words import attack_in_words, scenario_in_words
from evaluation.workspace import Arrays, Workspace
from mutant_store.reporter import Reporter, lasting
from mutant_store.threads import one_thread


class QueriesExperiment:
    """Steps of the experiment; what was done before is read instead."""

    def __init__(
        self,
        name: str,
        config: QueriesConfig,
        data: Path,
        store: Path,
        workspace: Workspace,
        report: Reporter,
    ) -> None:
        """Load the store; nothing is attacked.

        Args:
            name: name of the experiment.
            config: configuration.
            data: folder of the data.
            store: directory of the store that is asked.
            workspace: workspace that keeps finished blocks of images.
            report: reporter that is told of the steps.

        Raises:
            GuardError: the store cannot be opened, or there are no images.
        """
        self._name, self._config, self._store = name, config, store
        self._workspace, self._report = workspace, report
        self._clock = Clock(workspace.path / "seconds.json")
        self._judge = StoreJudge(store)
        self._remembered = remembered(self._judge.spec)
        self._attacked = attacked(config, data, self._judge, workspace)

    def run(self) -> QueryResults:
        """Do what is missing and return the results."""
        with one_thread():
            self._estimate()
            cells = [cell for scenario in self._config.scenarios for cell in self._cells(scenario)]
            agreement = self._agreement()
        self._judge.close()
        return self._results(cells, agreement)

    def _results(self, cells: list[QueryCell], agreement: list[HttpAgreement]) -> QueryResults:
        config = self._config
        return QueryResults(
            name=self._name,
            title=config.title,
            store=f"{self._judge.name} {self._judge.version}",
            data=config.source,
            scenarios={scenario.name: scenario_in_words(scenario) for scenario in config.scenarios},
            attacks={attack.name: attack_in_words(attack) for attack in config.attacks},
            memory=f"{config.entries:,} queries for {lasting(config.seconds)}",
            patience=config.patience,
            cells=cells,
            http=agreement,
            environment=Environment(
                hardware=hardware.hardware(), versions=hardware.versions(), seconds=self._clock.seconds
            ),
        )

    def _service(self, scenario: Scenario) -> Service:
        return InProcess(
            self._judge,
            guarded=scenario.guard,
            scores=scenario.scores,
            settings=self._config.memory(scenario),
        )

    def _part(self, scenario: Scenario) -> Attacked:
        return self._attacked.part(slice(scenario.images))

    def _estimate(self) -> None:
        """Do a block of every attack in every scenario, and say how long what is missing takes."""
        seconds = 0.0
        for scenario in self._config.scenarios:
            attacks = self._config.attacks_of(scenario)
            self._report.step(f"a first block of each attack: {scenario.name}")
            for attack in attacks:
                self._done(scenario, attack, 0)
            blocks = [self._file(scenario, attack, n) for attack in attacks for n in self._blocks(scenario)]
            done = sum(path.exists() for path in blocks)
            seconds += self._clock.seconds.get(scenario.name, 0.0) / done * (len(blocks) - done)
        if seconds:
            self._report.step(f"the other blocks, in about {lasting(seconds)}")

    def _blocks(self, scenario: Scenario) -> range:
        return range(0, len(self._part(scenario).images), self._config.block)

    def _length(self, scenario: Scenario, start: int) -> int:
        return min(self._config.block, len(self._part(scenario).images) - start)

    def _cells(self, scenario: Scenario) -> list[QueryCell]:
        config, attacks = self._config, self._config.attacks_of(scenario)
        found = [self._campaigns(scenario, attack) for attack in attacks]
        cells = [cell(config, scenario, *each) for each in zip(attacks, found, strict=True)]
        return cells if len(cells) == 1 else [*cells, cell(config, scenario, None, joined(found))]

    def _campaigns(self, scenario: Scenario, attack: AttackSettings) -> Arrays:
        """Return all campaigns of an attack in a scenario; those that are kept are read."""
        parts: list[Arrays] = []
        note, total = f"{scenario.name}: {attack.name}", len(self._part(scenario).images)
        for start in self._blocks(scenario):
            parts.append(self._done(scenario, attack, start))
            self._report.progress(min(start + self._config.block, total), total, note)
        return joined(parts)

    def _done(self, scenario: Scenario, attack: AttackSettings, start: int) -> Arrays:
        """Return a block of campaigns, which is made unless it is there."""
        inputs, make = self._inputs(scenario, attack, start), partial(self._block, scenario, attack, start)
        if self._file(scenario, attack, start).exists():
            return self._workspace.within("blocks").arrays(_slug(attack), inputs, make)
        with self._clock.measured(scenario.name):
            return self._workspace.within("blocks").arrays(_slug(attack), inputs, make)

    def _file(self, scenario: Scenario, attack: AttackSettings, start: int) -> Path:
        return self._workspace.within("blocks").file(_slug(attack), self._inputs(scenario, attack, start))

    def _inputs(self, scenario: Scenario, attack: AttackSettings, start: int) -> dict[str, object]:
        part = self._part(scenario).part(slice(start, start + self._config.block))
        config, memory = self._config, self._config.memory(scenario)
        return {
            "attack": attack.model_dump(exclude={"name"}),
            "scenario": scenario.model_dump(exclude={"name", "attacks", "images"}),
            "images": digest(part.images.tobytes(), part.labels.tobytes(), part.starts.tobytes()),
            "start": start,
            "limits": config.limits.model_dump(),
            "budget": config.budget,
            "patience": config.patience,
            "store": self._judge.version,
            "memory": memory and memory | self._remembered,
            "seed": config.seed,
        }

    def _block(self, scenario: Scenario, attack: AttackSettings, start: int) -> Arrays:
        service, rules = self._service(scenario), self._config.rules(scenario)
        places = range(start, start + self._length(scenario, start))
        return packed([self._campaign(attack, place, service, rules) for place in places])

    def _campaign(
        self, attack: AttackSettings, place: int, service: Service, rules: Rules
    ) -> tuple[Record, str]:
        part = self._attacked
        return campaign(
            service,
            attack,
            part.images[place],
            part.starts[place],
            int(part.labels[place]),
            self._judge.classes,
            self._config.limit(attack.norm),
            rules,
            seed_of(self._config.seed, crc32(attack.method.encode()), place),
        )

    def _agreement(self) -> list[HttpAgreement]:
        """Run a few campaigns in process and over HTTP, and count those that end alike."""
        config = self._config
        if config.http is None:
            return []
        found = []
        attacks = [attack for attack in config.attacks if attack.name in config.http.attacks]
        with self._clock.measured("over HTTP"):
            for scenario in (one for one in config.scenarios if one.name in config.http.scenarios):
                for attack in attacks:
                    found.append(self._both_ways(scenario, attack, config.http))
        return found

    def _both_ways(self, scenario: Scenario, attack: AttackSettings, check: HttpCheck) -> HttpAgreement:
        rules = replace(self._config.rules(scenario), budget=check.budget)
        count, alike = min(check.images, len(self._attacked.images)), 0
        settings = self._config.memory(scenario)
        with OverHttp(self._store, self._judge, guarded=scenario.guard, settings=settings) as server:
            for place in range(count):
                here = self._campaign(attack, place, self._service(scenario), rules)
                there = self._campaign(attack, place, server, rules)
                alike += _compared(here) == _compared(there)
                self._report.progress(place + 1, count, f"over HTTP, {scenario.name}: {attack.name}")
        return HttpAgreement(scenario=scenario.name, attack=attack.name, campaigns=count, alike=alike)


def _compared(found: tuple[Record, str]) -> tuple[int, int, int, str]:
    record, end = found
    return record.queries, record.seen, record.refusals, end


def _slug(attack: AttackSettings) -> str:
    return attack.name.replace(" ", "-").replace(",", "")
