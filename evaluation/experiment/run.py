"""One experiment from its configuration to its results.

Every step that was done before is read instead.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation import hardware
from evaluation.corruptions import shifted
from evaluation.experiment.material.clock import Clock
from evaluation.experiment.material.config import Config
from evaluation.experiment.material.pools import Pools, soft_evidence
from evaluation.experiment.material.samples import Samples, make_samples
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.measuring import methods
from evaluation.experiment.measuring.agreement import agreement
from evaluation.experiment.measuring.attackers import attackers
from evaluation.experiment.measuring.cost import best_milliseconds, costs, policy_milliseconds
from evaluation.experiment.measuring.detectors import Baselines, ScoredDetector
from evaluation.experiment.measuring.differences import differences
from evaluation.experiment.measuring.judges import judges_of
from evaluation.experiment.measuring.mutation import POLICIES, Tables, tables
from evaluation.experiment.measuring.paired import paired_cells
from evaluation.experiment.measuring.robustness import Judge, adaptive_cells, shift_cell
from evaluation.experiment.measuring.trained import trained_pool
from evaluation.experiment.measuring.verdicts import algorithm_1
from evaluation.experiment.records.intervals import counted
from evaluation.experiment.records.paper import Paper
from evaluation.experiment.records.results import (
    NORMAL,
    AdaptiveCell,
    AgreementCell,
    CostCell,
    Environment,
    Method,
    MethodCell,
    Results,
    Scatter,
    ShiftCell,
)
from evaluation.experiment.records.targets import target_cells
from evaluation.experiment.records.trained_results import TrainedPool
from evaluation.sample_set import SampleSet
from evaluation.workspace import Workspace
from mutant_guard.bank.cores import available_cores
from mutant_guard.errors import ModelError
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.datasets import load
from mutant_store.networks.inference import logits
from mutant_store.reporter import Reporter

_SCATTERED = 150
_SHIFTED = 300


class Experiment:
    """Steps of one experiment."""

    def __init__(
        self,
        name: str,
        config: Config,
        data: Path,
        workspace: Workspace,
        report: Reporter,
        *,
        jobs: int,
        threads: int,
        cluster: RayCluster | None = None,
    ) -> None:
        """Describe the experiment; nothing is done.

        Args:
            name: name of the experiment.
            config: configuration of the experiment.
            data: folder of the data.
            workspace: workspace that keeps intermediate results.
            report: reporter that is told of the steps.
            jobs: number of processes that make adversarial images at a time.
            threads: number of CPU threads of everything else; 0 takes all cores.
            cluster: cluster that makes adversarial images and stores; None makes them on this
                machine.
        """
        self._name, self._config, self._workspace, self._report = name, config, workspace, report
        self._jobs, self._threads, self._cluster = jobs, threads, cluster
        self._subject = ExperimentSubject(config, data)
        spec = config.spec("holdout", data)
        train = config.spec("train", data)
        self._pools = Pools(config.model, spec, config.pools, workspace, report, threads, train, cluster)
        self._paper = Paper(config.paper)
        self._clock = Clock(workspace.path / "seconds.json")
        self._main = self._pools.keys(config.pools.operators[0])[0]

    def run(self) -> Results:
        """Do what is missing and return the results.

        Raises:
            GuardError: the model, the data or the settings do not allow it.
        """
        config, clock = self._config, self._clock
        torch.set_num_threads(self._threads or available_cores())
        self._check()
        with clock.measured("adversarial images"):
            samples = make_samples(self._subject, self._workspace, self._report, self._jobs, self._cluster)
        with clock.measured("mutants and their label changes"):
            found = tables(config, self._pools, samples.sets)
        with clock.measured("baselines"):
            baselines = self._baselines(samples)
        with clock.measured("cost"):
            self._report.step("measuring costs")
            table_6 = costs(
                self._pools, self._paper, found, self._timed(samples), self._report, self._threads
            )
            rows, cells = self._methods(found, baselines, table_6, samples)
        judges = judges_of(self._pools, self._main, baselines)
        with clock.measured("adaptive attacks"):
            adaptive = self._adaptive(judges)
        with clock.measured("shifted images"):
            shifts = self._shifts(judges)
        with clock.measured("the server"):
            answered = self._agreement(found, samples)
        columns = {kind: config.paper_column(kind) for kind in samples.sets}
        averages = [
            row for name in config.pools.operators if (row := self._paper.detection(name)) is not None
        ]
        main_rates = {name: config.pools.main_rate_of(name) for name in config.pools.operators}
        detectors = [*found.detectors, *baselines]
        right = len(self._subject.right)
        sizes = {kind: len(one) for kind, one in samples.sets.items()}
        return Results(
            name=self._name,
            title=config.title,
            model=self._subject.model.name,
            data=self._subject.test.portable_range.spec,
            accuracy=counted(right, len(self._subject.test)),
            test_images=len(self._subject.test),
            folded=self._subject.folded,
            operators=list(config.pools.operators),
            rates=list(config.pools.rates),
            main_rates=main_rates,
            seeds=list(config.pools.seeds),
            mutants=config.pools.mutants,
            environment=Environment(
                hardware=hardware.hardware(), versions=hardware.versions(), seconds=clock.seconds
            ),
            kinds=samples.records,
            pools=found.pools,
            label_change_rates=found.rates,
            distances=found.distances,
            aurocs=found.aurocs,
            detection=found.detection,
            paper_detection=averages,
            policies=found.policies,
            costs=table_6,
            methods=rows,
            cells=cells,
            curves=[curve for detector in detectors for curve in methods.curves(detector)],
            histograms=found.histograms,
            mutants_used=found.mutants_used,
            scatter=self._scatter(found, samples),
            adaptive=adaptive,
            shifts=shifts,
            agreement=answered,
            differences=differences(found, averages, columns, main_rates, config.explanations),
            sizes={name: config.pools.mutants_of(name) for name in config.pools.operators},
            trained=self._trained(found),
            paired=[one for one in paired_cells(detectors, config.against) if one.method != one.other],
            suggestions=found.suggestions,
            early=found.early,
            targets=target_cells(config.targets, sizes, cells, found.early, adaptive),
            adaptive_report=config.adaptive_report,
        )

    def _check(self) -> None:
        """Check the settings, so that errors come before the steps that take long."""
        _ = self._subject.model
        store = self._pools.store(self._main)
        if store is None:
            reason = self._pools.refused[self._main.operator, self._main.rate]
            raise ModelError(f"the first operator has no mutants at its main rate: {reason}")
        if soft_evidence(store) is None:
            for rho in self._config.rhos:
                algorithm_1(store, rho, self._config.delta_ratio)
        _ = self._other

    @cached_property
    def _other(self) -> NDArray[np.uint8] | None:
        spec = self._config.other_spec(self._subject.folder)
        return None if spec is None else load(spec).images

    def _clean(self) -> SampleSet:
        """Return rightly labelled calibration images."""
        images, model = self._subject.calibration, self._subject.model
        right = logits(model.network, model.classifier, images.images).argmax(axis=1) == images.labels
        nowhere = np.full(int(right.sum()), -1)
        return SampleSet("calibration", images.images[right], images.labels[right], nowhere)

    def _baselines(self, samples: Samples) -> list[ScoredDetector]:
        if self._config.baselines is None:
            return []
        made = Baselines(self._subject, self._config.baselines, self._workspace, self._report)
        return made.scored(samples.sets, self._clean())

    def _trained(self, found: Tables) -> list[TrainedPool]:
        every = self._subject.calibration
        clean = SampleSet("calibration", every.images, every.labels, np.full(len(every), -1))
        keys = [key for operator, _ in found.verdicts for key in self._pools.keys(operator)]
        made = [trained_pool(self._pools, key, clean) for key in dict.fromkeys(keys)]
        return [one for one in made if one is not None]

    def _timed(self, samples: Samples) -> NDArray[np.uint8]:
        return samples.sets[NORMAL].head(self._config.timed).images

    def _methods(
        self, found: Tables, baselines: list[ScoredDetector], table_6: list[CostCell], samples: Samples
    ) -> tuple[list[Method], list[MethodCell]]:
        """Return a row for each detector and each policy, and their cells."""
        images = self._timed(samples)
        taken = best_milliseconds({one.name: one.once for one in baselines if one.once is not None}, images)
        pools = self._config.pools
        whole = {row.operator: row.forward_ms * pools.mutants_of(row.operator) for row in table_6}
        taken |= {
            f"{name} {operator}": found for operator, found in whole.items() for name in ("LCR", "doubt")
        }
        places = {
            f"{policy} {operator}": (self._pools.path(self._pools.keys(operator)[0]), policy)
            for operator, policy in found.verdicts
            if policy in POLICIES
        }
        taken |= policy_milliseconds(places, images, self._threads)
        detectors = [*found.detectors, *baselines]
        rows = [methods.method(one, taken.get(one.name)) for one in detectors]
        cells = [cell for one in detectors for cell in methods.cells(one)]
        for (operator, policy), verdicts in found.verdicts.items():
            name = f"{policy} {operator}"
            note = "a policy: one operating point, at its own false-alarm rate"
            row, more = methods.policy(name, note, verdicts, taken.get(name))
            rows.append(row)
            cells += more
        return rows, cells

    def _adaptive(self, judges: Mapping[str, Judge]) -> list[AdaptiveCell]:
        settings = self._config.adaptive
        if settings is None:
            return []
        place = self._workspace.within("adaptive")
        made = attackers(self._subject, settings, self._pools, self._main, place, self._report)
        return adaptive_cells(made, judges)

    def _shifts(self, judges: Mapping[str, Judge]) -> list[ShiftCell]:
        part, model = self._subject.right[:_SHIFTED], self._subject.model
        test = self._subject.test
        made = shifted(test.images[part], test.labels[part], part, self._config.seed, self._other)
        return [
            shift_cell(one, logits(model.network, model.classifier, one.images).argmax(axis=1), judges)
            for one in made
        ]

    def _agreement(self, found: Tables, samples: Samples) -> list[AgreementCell]:
        operator, path = self._main.operator, self._pools.path(self._main)
        cells = []
        for policy in POLICIES:
            self._report.step(f"posting images to a server with {policy}")
            expected = {kind: each[0] for kind, each in found.verdicts[operator, policy].items()}
            cells += agreement(path, policy, samples.sets, expected, self._config.posted)
        return cells

    def _scatter(self, found: Tables, samples: Samples) -> list[Scatter]:
        """Return confidence and label change rate of some images of each kind.

        The rates are those under the first pool.
        """
        model, detector = self._subject.model, found.detectors[0]
        rates = {kind: scores.kind[0] for kind, scores in detector.kinds.items()}
        rates[NORMAL] = next(iter(detector.kinds.values())).normal[0]
        cells = []
        for kind, one in samples.sets.items():
            part = one.head(_SCATTERED)
            scores = logits(model.network, model.classifier, part.images).astype(np.float64)
            scores -= scores.max(axis=1, keepdims=True)
            confidence = 1 / np.exp(scores).sum(axis=1)
            cells.append(
                Scatter(
                    kind=kind,
                    confidence=confidence.tolist(),
                    label_change_rate=rates[kind][: len(part)].tolist(),
                )
            )
        return cells
