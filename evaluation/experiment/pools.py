"""Mutant stores of an experiment, and what their mutants do with its images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from detection.recording import Recording
from evaluation.attacks.digest import file_digest
from evaluation.experiment.pool_settings import PoolSettings
from evaluation.sample_set import SampleSet
from evaluation.workspace import Arrays, Workspace
from mutant_store.atomic import write_atomically
from mutant_store.bank_session import BankSession
from mutant_store.build import BuildSettings, build
from mutant_store.cores import available_cores
from mutant_store.datasets import parse
from mutant_store.errors import ModelError
from mutant_store.input_spec import InputOptions
from mutant_store.reader import CURRENT, RECORDINGS, Store, open_store
from mutant_store.recordings import record, unpack
from mutant_store.selection import Reporter, SelectionSettings

_REFUSED = "refused.txt"


@dataclass(frozen=True, order=True)
class PoolKey:
    """One pool: the operator's name, the mutation rate, the seed."""

    operator: str
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Name of the pool's store."""
        return f"{self.operator.replace(':', '-').replace(',', '-')}-{self.rate:g}-{self.seed}"


class Pools:
    """Builds stores when they are first asked for, and keeps what it records with them."""

    def __init__(
        self,
        model: Path,
        spec: str,
        settings: PoolSettings,
        workspace: Workspace,
        report: Reporter,
        threads: int = 0,
    ) -> None:
        """Describe the pools; nothing is built.

        Args:
            model: the classifier's ONNX file.
            spec: clean images that did not train it, for the filter and the calibration.
            settings: which pools.
            workspace: the stores and the recordings are kept here.
            report: told of the steps.
            threads: CPU threads; 0 takes all cores.
        """
        self.settings = settings
        self.model, self.spec, self._workspace = model, spec, workspace
        self._report, self._threads = report, threads
        self._refused: dict[tuple[str, float], str] = {}
        self._stores: dict[PoolKey, Store | None] = {}
        self._opened: tuple[PoolKey, BankSession] | None = None

    @property
    def refused(self) -> dict[tuple[str, float], str]:
        """Operators and rates at which no pool can be made, with the reason; known once they were asked for."""
        return dict(self._refused)

    def keys(self, operator: str, rate: float | None = None) -> list[PoolKey]:
        """The pools of an operator at a rate, by default its main one, one a seed."""
        chosen = self.settings.main_rate_of(operator) if rate is None else rate
        return [PoolKey(operator, chosen, seed) for seed in self.settings.seeds]

    def path(self, key: PoolKey) -> Path:
        """Directory of the pool's store, named after all that it is made from."""
        chosen = self.build_settings(key)
        inputs = {
            "model": self._model_digest,
            "data": str(parse(self.spec).portable()),
            "mutants": chosen.selection.mutants,
            "accuracy_ratio": chosen.selection.accuracy_ratio,
            "filter_error": chosen.selection.filter_error,
            "calibration": chosen.calibration.model_dump(),
        }
        return self._workspace.within("stores").file(key.name, inputs, suffix="")

    @cached_property
    def _model_digest(self) -> str:
        return file_digest(self.model)

    def store(self, key: PoolKey) -> Store | None:
        """The pool's store, built if it is not there; None where the operator has nothing to change at this rate.

        Raises:
            GuardError: the model or the data do not allow it.
        """
        if key not in self._stores:  # opening one reads and checks every file of it
            self._stores[key] = self._store(key)
        return self._stores[key]

    def required(self, key: PoolKey) -> Store:
        """The store of a pool that there must be.

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
                build(self.model, self.spec, path, self.build_settings(key), self._report)
            except ModelError as error:
                write_atomically(refusal, str(error).encode())
                self._refused[key.operator, key.rate] = str(error)
                return None
        return open_store(path)

    def recording(self, key: PoolKey, samples: SampleSet) -> Recording | None:
        """Label changes of a set under a pool, recorded if they were not; None where there is no such pool.

        ``correct`` tells where the label of the stored original is the true one.
        """
        if self.store(key) is None:
            return None
        return self.recorded(key, samples)

    def recorded(self, key: PoolKey, samples: SampleSet) -> Recording:
        """The same for a pool that there must be.

        Raises:
            ModelError: the operator has nothing to change at this rate.
        """
        store = self.required(key)
        inputs = {"version": store.version, "images": samples.digest}

        def make() -> Arrays:
            session = self._session(key, store)
            tensors = store.manifest.input.tensor(samples.images)
            told = self._told(f"{key.name}: {samples.kind}", len(samples))
            found = record(session, store.manifest.mutants, tensors, samples.labels, told)
            return {
                "changes": np.packbits(found.changes, axis=1),
                "correct": found.correct.astype(np.uint8),
            }

        name = f"{key.name}-{samples.file_name}"
        kept = self._workspace.within("recordings").arrays(name, inputs, make)
        changes = np.unpackbits(kept["changes"], axis=1, count=store.manifest.mutants)
        return Recording(changes.astype(np.bool_), kept["correct"].astype(np.bool_))

    def calibration(self, key: PoolKey) -> Recording:
        """Label changes of the clean images the store was calibrated on, choice and certification together.

        Raises:
            ModelError: the operator has nothing to change at this rate.
        """
        store = self.required(key)
        kept = unpack(store.path / RECORDINGS)
        parts = kept["choice"], kept["certification"]
        return Recording(
            np.concatenate([part.changes for part in parts]), np.concatenate([part.correct for part in parts])
        )

    def _session(self, key: PoolKey, store: Store) -> BankSession:
        # One at a time: a pool whose mutants have weights of their own holds a copy of all that differs.
        if self._opened is None or self._opened[0] != key:
            if self._opened is not None:
                self._opened[1].close()
            self._opened = key, store.session(threads=self._threads)
        return self._opened[1]

    def _told(self, note: str, total: int) -> Callable[[int], None]:
        return lambda done: self._report.progress(done, total, note)

    def build_settings(self, key: PoolKey) -> BuildSettings:
        """What the pool's store is built with."""
        chosen = self.settings
        return BuildSettings(
            operator=key.operator,
            selection=SelectionSettings(
                key.rate,
                chosen.mutants,
                key.seed,
                0.9,
                chosen.filter_error,
                self._threads or available_cores(),
            ),
            input=InputOptions(),
            calibration=chosen.calibration,
            threads=self._threads,
        )
