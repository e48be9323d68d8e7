"""Mutant stores of an experiment, and their mutants' answers to its images."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.attacks.digest import file_digest
from evaluation.experiment.material.clock import BUILD, build_clock, build_seconds
from evaluation.experiment.material.pool_settings import RETRAIN, PoolSettings, is_trained, parts_of
from evaluation.sample_set import SampleSet
from evaluation.workspace import Arrays, Workspace
from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.cores import available_cores
from mutant_guard.decision.calibration.recording import Recording, joined
from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.errors import ModelError
from mutant_guard.store.atomic import write_atomically
from mutant_guard.store.reader import CURRENT, ROBUST, Store, load_store
from mutant_store.build import BuildSettings, build
from mutant_store.calibrating.recordings import kept_recordings, record, record_in_parts
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.cluster.sent_store import SentStore
from mutant_store.datasets import parse
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.model_source import ModelSource
from mutant_store.networks import weights
from mutant_store.networks.weights import TrainedModel
from mutant_store.pool.selection import SelectionSettings
from mutant_store.reporter import Reporter
from mutant_store.retraining.settings import RetrainSettings, recipe_for
from mutant_store.robust.settings import RobustSettings
from mutant_store.robust.settings import recipe_for as robust_recipe

_REFUSED = "refused.txt"
_WEIGHTS = ".safetensors"
_TOGETHER = 100


@dataclass(frozen=True, order=True)
class PoolKey:
    """Key of one pool: the operator's name, the mutation rate, the seed."""

    operator: str
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Name of the pool's store."""
        return f"{self.operator.replace(':', '-').replace(',', '-')}-{self.rate:g}-{self.seed}"


class Pools:
    """Stores, built when they are first asked for and kept with the recordings made of them."""

    def __init__(
        self,
        model: Path,
        spec: str,
        settings: PoolSettings,
        workspace: Workspace,
        report: Reporter,
        threads: int = 0,
        train: str = "",
        cluster: RayCluster | None = None,
    ) -> None:
        """Describe the pools; nothing is built.

        Args:
            model: the classifier's ONNX file.
            spec: clean images that did not train it, for the filter and the calibration.
            settings: settings of the pools.
            workspace: workspace that keeps the stores and the recordings.
            report: reporter that is told of the steps.
            threads: number of CPU threads; 0 takes all cores.
            train: the images that trained it, for mutants that are trained as well.
            cluster: cluster that builds the stores; None builds them on this machine.
        """
        self.settings = settings
        self.model, self.spec, self._workspace, self._train = model, spec, workspace, train
        self._report, self._threads, self._cluster = report, threads, cluster
        self._refused: dict[tuple[str, float], str] = {}
        self._stores: dict[PoolKey, Store | None] = {}
        self._opened: tuple[PoolKey, BankSession] | None = None

    @property
    def refused(self) -> dict[tuple[str, float], str]:
        """Operators and rates at which no pool can be made, with the reason.

        They are known once they were asked for.
        """
        return dict(self._refused)

    def keys(self, operator: str, rate: float | None = None) -> list[PoolKey]:
        """Return the pools of an operator at a rate, by default its main one, one a seed."""
        chosen = self.settings.main_rate_of(operator) if rate is None else rate
        return [PoolKey(operator, chosen, seed) for seed in self.settings.seeds]

    def path(self, key: PoolKey) -> Path:
        """Return the directory of the pool's store, named after all that it is made from."""
        chosen = self.build_settings(key)
        inputs = {
            "model": self._model_digest,
            "data": str(parse(self.spec).portable()),
            "mutants": chosen.selection.mutants,
            "accuracy_ratio": chosen.selection.accuracy_ratio,
            "filter_error": chosen.selection.filter_error,
            "calibration": chosen.calibration.model_dump(),
        }
        if is_trained(key.operator):
            inputs |= self._trained_with(key.operator)
        return self._workspace.within("stores").file(key.name, inputs, suffix="")

    @cached_property
    def _model_digest(self) -> str:
        return file_digest(self.model)

    def _trained_with(self, operator: str) -> dict[str, object]:
        """Return all that the trained mutants of an operator's pools depend on besides."""
        digest, model = self._weights
        names, channels = parts_of(operator), model.classifier.shape[2]
        found: dict[str, object] = {"weights": digest, "train": str(parse(self._train).portable())}
        if RETRAIN in names:
            told = RetrainSettings(**self.settings.retrained(self._train))
            found["retraining"] = asdict(recipe_for(model.name, channels, told))
        if ROBUST in names:
            asked = self.settings.robust or RobustSettings()
            # Which of the two it is follows from the settings.
            recipes = [robust_recipe(model.name, channels, asked, fresh=fresh) for fresh in (False, True)]
            found["robust"] = [asdict(asked), *(asdict(recipe) for recipe in recipes)]
        return found

    @cached_property
    def _weights(self) -> tuple[str, TrainedModel]:
        """Digest of the classifier's file of weights, and the classifier."""
        path = self.model.with_suffix(_WEIGHTS)
        return file_digest(path), weights.load(path)

    def store(self, key: PoolKey) -> Store | None:
        """Return the pool's store, built if it is not there.

        Returns:
            The store, or None where the operator has nothing to change at this rate.

        Raises:
            GuardError: the model or the data do not allow it.
        """
        if key not in self._stores:  # opening a store reads and checks every file of it
            self._stores[key] = self._store(key)
        return self._stores[key]

    def another(self, key: PoolKey, mutants: int) -> Store:
        """Return a store of this many mutants by the same recipe and of the next seed.

        An attacker without the first store makes such a store.

        Raises:
            ModelError: the operator has nothing to change at this rate.
        """
        settings = self.settings.model_copy(update={"sizes": {**self.settings.sizes, key.operator: mutants}})
        others = Pools(
            self.model,
            self.spec,
            settings,
            self._workspace,
            self._report,
            self._threads,
            self._train,
            self._cluster,
        )
        return others.required(replace(key, seed=key.seed + 1))

    def required(self, key: PoolKey) -> Store:
        """Return the store of a pool that must exist.

        Raises:
            ModelError: the operator has nothing to change at this rate.
        """
        store = self.store(key)
        if store is None:
            raise ModelError(f"there is no pool {key.name}: {self._refused[key.operator, key.rate]}")
        return store

    def _store(self, key: PoolKey) -> Store | None:
        path = self.path(key)
        refusal = path.with_name(f"{path.name}.{_REFUSED}")
        if refusal.exists():
            self._refused[key.operator, key.rate] = refusal.read_text(encoding="utf-8")
            return None
        if not (path / CURRENT).exists():
            self._report.step(f"pool {key.name}")
            try:
                self._build(key, path)
            except ModelError as error:
                write_atomically(refusal, str(error).encode())
                self._refused[key.operator, key.rate] = str(error)
                return None
        return load_store(path)

    def _build(self, key: PoolKey, path: Path) -> None:
        settings = self.build_settings(key)
        if not is_trained(key.operator):
            build(self.model, self.spec, path, settings, self._report, cluster=self._cluster)
            return
        source = ModelSource(str(self.model.with_suffix(_WEIGHTS)))
        with build_clock(path).measured(BUILD):
            build(source, self.spec, path, settings, self._report, cluster=self._cluster)

    def build_seconds(self, key: PoolKey) -> float | None:
        """Return the time it took to build a store of trained mutants; None for others."""
        return build_seconds(self.path(key))

    def recording(self, key: PoolKey, samples: SampleSet) -> Recording | None:
        """Return label changes of a set under a pool, recorded if they were not.

        ``correct`` tells where the label of the stored original is the true one. There are doubts
        where the store's policies add them up.

        Returns:
            The recording, or None where there is no such pool.
        """
        if self.store(key) is None:
            return None
        return self.recorded(key, samples)

    def recorded(self, key: PoolKey, samples: SampleSet) -> Recording:
        """Return label changes of a set under a pool that must exist, as ``recording`` does.

        Raises:
            ModelError: the operator has nothing to change at this rate.
        """
        store = self.required(key)
        mutants, evidence = store.manifest.mutants, soft_evidence(store)

        def make() -> Arrays:
            tensors = store.manifest.input.tensor(samples.images)
            told = self._told(f"{key.name}: {samples.kind}", len(samples))
            asked = (mutants, tensors, samples.labels, told, evidence)
            if self._cluster is None:
                found = record(self._session(key, store), *asked)
            else:
                load, executor = SentStore(store).session, self._cluster.executor()
                found = record_in_parts(load, executor, self._cluster.jobs, *asked)
            made: Arrays = {
                "changes": np.packbits(found.changes, axis=1),
                "correct": found.correct.astype(np.uint8),
            }
            if found.doubts is not None and found.own_doubts is not None:
                made |= {"doubts": found.doubts, "own_doubts": found.own_doubts}
            return made

        kept = self._kept("recordings", key, store, samples, make)
        changes = np.unpackbits(kept["changes"], axis=1, count=mutants).astype(np.bool_)
        correct = kept["correct"].astype(np.bool_)
        return Recording(changes, correct, kept.get("doubts"), kept.get("own_doubts"))

    def labels(self, key: PoolKey, samples: SampleSet) -> NDArray[np.int64]:
        """Return labels of a set under the original and every mutant of a pool.

        Returns:
            int64 [images, 1 + mutants].

        Raises:
            ModelError: the operator has nothing to change at this rate.
        """
        store = self.required(key)

        def make() -> Arrays:
            tensors = store.manifest.input.tensor(samples.images)
            everyone = np.arange(store.manifest.mutants + 1)
            session = self._session(key, store)
            parts = [
                session.labels(tensors[start : start + _TOGETHER], everyone)
                for start in range(0, len(tensors), _TOGETHER)
            ]
            return {"labels": np.concatenate(parts).astype(np.int16)}

        return self._kept("labels", key, store, samples, make)["labels"].astype(np.int64)

    def _kept(
        self, folder: str, key: PoolKey, store: Store, samples: SampleSet, make: Callable[[], Arrays]
    ) -> Arrays:
        inputs = {"version": store.version, "images": samples.digest}
        return self._workspace.within(folder).arrays(f"{key.name}-{samples.file_name}", inputs, make)

    def calibration(self, key: PoolKey) -> Recording:
        """Return the recordings of the store's clean calibration images.

        Those for the choice and those for the certification are joined.

        Raises:
            ModelError: the operator has nothing to change at this rate.
        """
        store = self.required(key)
        kept = kept_recordings(store)
        return joined([kept["choice"], kept["certification"]])

    def _session(self, key: PoolKey, store: Store) -> BankSession:
        # One session at a time: a pool whose mutants have weights of their own holds a copy of all
        # that differs.
        if self._opened is None or self._opened[0] != key:
            if self._opened is not None:
                self._opened[1].close()
            self._opened = key, store.session(threads=self._threads)
        return self._opened[1]

    def _told(self, note: str, total: int) -> Callable[[int], None]:
        return lambda done: self._report.progress(done, total, note)

    def build_settings(self, key: PoolKey) -> BuildSettings:
        """Return the settings that the pool's store is built with."""
        chosen = self.settings
        trained = is_trained(key.operator)
        return BuildSettings(
            operator=key.operator,
            selection=SelectionSettings(
                key.rate,
                chosen.drawn_of(key.operator),
                key.seed,
                0.9,
                chosen.filter_error,
                self._threads or available_cores(),
            ),
            input=InputOptions(),
            calibration=chosen.calibration,
            threads=self._threads,
            retraining=RetrainSettings(**chosen.retrained(self._train)) if trained else None,
            robust=chosen.robust,
        )


def soft_evidence(store: Store) -> Doubts | None:
    """Return the doubts that a store's policies add up; None where they count label changes."""
    calibration = store.calibration
    if calibration.settings.evidence != "soft" or calibration.doubts is None:
        return None
    return calibration.doubts.doubts
