"""The strongest attacks on a store, from a configuration to results."""

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation import hardware
from evaluation.adaptive.strongest.known import KnownGuard
from evaluation.adaptive.strongest.settings import AttackSettings, GradientAttack
from evaluation.adaptive.strongest.stored_guard import ServedGuard, known_guard, policies_at
from evaluation.attacks.digest import digest
from evaluation.evasion.blocks import Found, attack_block, seed_of
from evaluation.evasion.checks import checks
from evaluation.evasion.clean_cost import clean_cost
from evaluation.evasion.config import EvasionConfig
from evaluation.evasion.counting import Attempt, cell, strongest, union
from evaluation.evasion.earlier import earlier_cells
from evaluation.evasion.results import EvasionCell, EvasionResults, PolicyFigures
from evaluation.experiment.material.clock import Clock, build_seconds
from evaluation.experiment.records.results import Environment
from evaluation.workspace import Arrays, Workspace
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.errors import DataError
from mutant_guard.runtime.options import Device
from mutant_guard.runtime.proof import LARGEST_EPSILON, Proof
from mutant_guard.store.reader import Store
from mutant_store.datasets import ImageData, load
from mutant_store.reporter import Reporter
from mutant_store.threads import one_thread

_TOGETHER = 200
_SANITY = GradientAttack(name="any change", method="apgd", runs=3, steps=100)
_WHOLE = 1.0
_REPORTS = Path("reports")


class EvasionExperiment:
    """Steps of the experiment; what was done before is read instead."""

    def __init__(
        self,
        name: str,
        config: EvasionConfig,
        data: Path,
        store: Store,
        another: Store | None,
        workspace: Workspace,
        report: Reporter,
        device: Device = "cpu",
    ) -> None:
        """Load the store; nothing is attacked.

        Args:
            name: name of the experiment.
            config: configuration.
            data: folder of the data.
            store: the store that is attacked.
            another: store by the same recipe and another seed, which an attacker without the first
                has.
            workspace: workspace that keeps finished blocks of images.
            report: reporter that is told of the steps.
            device: device of gradients and answers, ``cpu`` or ``cuda``.

        Raises:
            DataError: an attack needs ``another``, there is no report ``earlier``, or the store's
                recordings do not allow a rate of false alarms.
            ModelError: the attacks do not follow gradients through a store's mutants.
        """
        if config.needs_another and another is None:
            raise DataError(
                "an attack is made with mutants of the attacker's own: give --another, a store by the same recipe and "
                "another --seed, or leave out the attacks of knowledge method"
            )
        self._name, self._config, self._data = name, config, data
        self._store, self._another = store, another
        self._workspace, self._report, self._device = workspace, report, device
        self._clock = Clock(workspace.path / "seconds.json")
        self._policies = policies_at(store, config.policies())
        self._served = ServedGuard(store, self._policies, device)
        self._earlier = (
            [] if config.earlier is None else earlier_cells(_REPORTS / config.earlier, config.sizes)
        )

    def run(self) -> EvasionResults:
        """Do what is missing and return the results."""
        config = self._config
        images, labels = self._right(config.images)
        attempts: list[Attempt] = []
        classes = len(self._store.manifest.classes)
        for number, settings in enumerate(config.attacks):
            before: Found | None = None
            for size in sorted(settings.sizes or config.sizes):
                note = f"{settings.name}, {settings.norm} {size:g}"
                with self._clock.measured(settings.name):
                    before = self._attacked(settings, number, size, images, labels, before, note)
                attempts.append(Attempt(settings, size, before, settings.budget(classes)))
        few = config.sanity_images
        with self._clock.measured(_SANITY.name):
            whole = self._attacked(
                _SANITY, len(config.attacks), _WHOLE, images[:few], labels[:few], None, "changes of any size"
            )
        names = list(self._policies)
        cells: list[EvasionCell] = []
        contradicted = 0
        for place, policy in enumerate(names):
            cells += [cell(attempt, place, policy) for attempt in attempts]
            proved = self._proved(policy, images, labels)
            cells += strongest(attempts, place, policy, proved)
            for size, held in proved.items():
                contradicted += int((held & union(attempts, place, "linf", size)[0]).sum())
        operators = self._store.operators()
        counts = {name: operators.count(name) for name in dict.fromkeys(operators)}
        return EvasionResults(
            name=self._name,
            title=config.title,
            store=f"{self._store.name} {self._store.version}",
            mutants=", ".join(f"{count} {name}" for name, count in counts.items()),
            another=None if self._another is None else self._another.version,
            data=config.data,
            steps={settings.name: _in_words(settings, classes) for settings in config.attacks},
            policies=[_figures(self._store, name, policy) for name, policy in self._policies.items()],
            cells=cells,
            checks=checks(
                cells, Attempt(_SANITY, _WHOLE, whole, _SANITY.budget(classes)), names, contradicted
            ),
            environment=Environment(
                hardware=self._hardware(), versions=hardware.versions(), seconds=self._clock.seconds
            ),
            build_seconds=build_seconds(self._store.path.parent),
            earlier=config.earlier,
            earlier_cells=self._earlier,
        )

    def _hardware(self) -> str:
        if self._device == "cpu":
            return f"{hardware.hardware()}, one thread"
        return f"{torch.cuda.get_device_name()}; {hardware.hardware()}"

    def _right(self, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return images that the original labels rightly, in a random order of the seed."""
        spec = self._store.manifest.input
        data: ImageData = load(self._config.spec(self._data), shape=(spec.height, spec.width, spec.channels))
        order = np.random.default_rng(self._config.seed).permutation(len(data))
        chosen: list[int] = []
        for start in range(0, len(order), _TOGETHER):
            part = order[start : start + _TOGETHER]
            right = self._served.judge(data.images[part]).labels == data.labels[part]
            chosen += part[right].tolist()
            if len(chosen) >= count:
                break
        if not chosen:
            raise DataError(f"the classifier labels no image of '{self._config.data}' rightly")
        return data.images[chosen[:count]], data.labels[chosen[:count]]

    def _proved(
        self, policy: str, images: NDArray[np.uint8], labels: NDArray[np.int64]
    ) -> dict[float, NDArray[np.bool_]]:
        """Return by size which images are proved, bool [N]; nothing where nothing can be proved."""
        proof = Proof(self._store, self._policies[policy])
        sizes = [size for size in self._config.sizes if size <= LARGEST_EPSILON]
        if proof.obstacle is not None:
            return {}
        with self._clock.measured("proofs"):
            found = {}
            for size in sizes:
                self._report.step(f"proving at {size:g}, {policy} false alarms")
                found[size] = proof.holds(images, labels, np.full(len(images), size))
        return found

    def _attacked(
        self,
        settings: AttackSettings,
        number: int,
        size: float,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        before: Found | None,
        note: str,
    ) -> Found:
        parts, block = [], self._config.block
        for start in range(0, len(images), block):
            part = slice(start, start + block)
            smaller = None if before is None else before.part(part)
            make = partial(
                self._made, settings, size, images[part], labels[part], smaller, self._seed(number, start)
            )
            inputs = {
                "attack": settings.model_dump(exclude={"name", "sizes"}),
                "size": size,
                "images": digest(images[part].tobytes(), labels[part].tobytes()),
                "before": None
                if smaller is None
                else digest(smaller.evaded.tobytes(), smaller.images.tobytes()),
                "store": self._store.version,
                "rates": list(self._config.policies().values()),
                "seed": self._seed(number, start),
            }
            if self._device != "cpu":
                inputs["device"] = self._device
            if settings.knowledge == "method" and self._another is not None:
                inputs["another"] = self._another.version
            with one_thread():  # the same images on any number of cores
                kept = self._workspace.within("blocks").arrays(settings.name.replace(" ", "-"), inputs, make)
            parts.append(_unpacked(kept))
            self._report.progress(min(start + block, len(images)), len(images), note)
        return Found.joined(parts)

    def _seed(self, attack: int, start: int) -> int:
        return seed_of(self._config.seed, attack, start)

    def _made(
        self,
        settings: AttackSettings,
        size: float,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        before: Found | None,
        seed: int,
    ) -> Arrays:
        found = attack_block(settings, size, self._served, self._known, images, labels, before, seed)
        return {
            "evaded": found.evaded.astype(np.uint8),
            "images": found.images,
            "spent": found.spent,
            "fooled": found.fooled.astype(np.uint8),
        }

    @cache  # noqa: B019  # of one experiment, which lives as long as the command
    def _known(self, knowledge: str) -> KnownGuard:
        if knowledge == "method" and self._another is not None:
            policies = policies_at(self._another, self._config.policies())
            return known_guard(self._another, policies, self._device)
        return known_guard(self._store, self._policies, self._device)


def _unpacked(kept: Mapping[str, NDArray[np.generic]]) -> Found:
    return Found(
        kept["evaded"].astype(np.bool_),
        kept["images"].astype(np.uint8),
        kept["spent"].astype(np.int64),
        kept["fooled"].astype(np.bool_),
    )


def _figures(store: Store, name: str, policy: Policy) -> PolicyFigures:
    mutants, passes = clean_cost(store, policy)
    bounds, unit = policy.boundaries, policy.evidence.unit
    first = int(bounds.normal_at_most[1])
    return PolicyFigures(
        name=name,
        clears_first=first / unit if first >= 0 else None,
        alarms_first=float(bounds.adversarial_at_least[1]) / unit,
        threshold=float(bounds.adversarial_at_least[-1]) / unit,
        mutants=mutants,
        passes=passes,
    )


def _in_words(settings: AttackSettings, classes: int) -> str:
    if not isinstance(settings, GradientAttack):
        return f"{settings.queries:,} questions an image"
    targets = settings.budget(classes) // (settings.runs * settings.steps)
    combined = "" if settings.combination == "joint" else f", {settings.combination}"
    return f"{targets} targets, {settings.runs} runs of {settings.steps} steps each{combined}"
