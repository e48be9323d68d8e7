"""Stores of published classifiers, built by the command that users run."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.imagenet.classifiers import PublishedClassifier
from evaluation.imagenet.photographs import CALIBRATION, Photographs
from evaluation.sample_set import SampleSet
from evaluation.workspace import Arrays, Workspace
from mutant_guard.bank.bank_session import BankSession
from mutant_guard.decision.calibration.recording import Recording, joined
from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.errors import ModelError
from mutant_guard.store.reader import CURRENT, Store, load_store
from mutant_guard.store.resizing import ResizeRule
from mutant_store.calibrating.recordings import kept_recordings, record
from mutant_store.loading.pixel_views import PixelViews
from mutant_store.reporter import Reporter

BUILD = (sys.executable, "-m", "mutant_store.cli", "build")
"""Command ``mutant-store build``, whether or not it is installed."""


@dataclass(frozen=True)
class Built:
    """Cost of a build: seconds it took, and most bytes of memory its process had."""

    seconds: float
    bytes: int


def build(
    original: str,
    companions: Sequence[str],
    photographs: Photographs,
    models: Path,
    out: Path,
    options: Sequence[str] = (),
) -> Built:
    """Build a store by ``mutant-store build`` with defaults, in a process of its own.

    Args:
        original: name of the published classifier that is guarded.
        companions: names of those that serve as its mutants.
        photographs: photographs, of which the calibration part is used.
        models: folder of the exported classifiers; what is missing is exported first.
        out: directory of the store.
        options: further options of the command.

    Raises:
        ModelError: the command failed.
    """
    chosen = PublishedClassifier.named(original)
    command = [*BUILD, str(chosen.export(models, photographs.names))]
    command += ["--data", photographs.spec(CALIBRATION), "--out", str(out), "--resize", chosen.resize]
    for name in companions:
        companion = PublishedClassifier.named(name)
        path = companion.export(models, photographs.names)
        command += ["--companion", f"{path};resize={companion.resize}"]
    started = time.perf_counter()
    with TemporaryFile() as said:
        process = subprocess.Popen([*command, *options], stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise ModelError(
                f"{' '.join([*command, *options])} failed: {lines[-1] if lines else 'no message'}"
            )
    return Built(time.perf_counter() - started, 1024 * usage.ru_maxrss)


class GuardedClassifier:
    """Store that is built when it is first asked for, and recordings of its answers to pictures."""

    def __init__(
        self,
        name: str,
        original: str,
        companions: Sequence[str],
        photographs: Photographs,
        workspace: Workspace,
        report: Reporter,
        options: Sequence[str] = (),
    ) -> None:
        """Describe the store; nothing is built.

        Args:
            name: name of the store.
            original: name of the published classifier that is guarded.
            companions: names of those that serve as its mutants; none for mutants that are drawn.
            photographs: photographs that the store is built with.
            workspace: workspace that keeps the store and the recordings.
            report: reporter that is told of the steps.
            options: further options of ``mutant-store build``.
        """
        self.name, self._original, self._companions = name, original, companions
        self._photographs, self._workspace, self._report, self._options = (
            photographs,
            workspace,
            report,
            options,
        )
        self._opened: tuple[Store, BankSession] | None = None

    @property
    def store(self) -> Store:
        """The store, built if it is not there.

        Raises:
            GuardError: the store cannot be built or opened.
        """
        return self._open()[0]

    @property
    def evidence(self) -> Doubts | None:
        """The doubts that the store's policies add up; None where they count label changes."""
        calibration = self.store.calibration
        soft = calibration.settings.evidence == "soft" and calibration.doubts is not None
        return calibration.doubts.doubts if soft and calibration.doubts else None

    def _open(self) -> tuple[Store, BankSession]:
        if self._opened is None:
            inputs = {
                "original": self._original,
                "companions": list(self._companions),
                "photographs": self._photographs.folder.name,
                "options": list(self._options),
            }
            path = self._workspace.within("stores").file(self.name, inputs, suffix="")
            if not (path / CURRENT).exists():
                self._report.step(f"building {path.name}")
                models = self._workspace.path / "models"
                build(self._original, self._companions, self._photographs, models, path, self._options)
            store = load_store(path)
            self._opened = store, store.session()
        return self._opened

    def close(self) -> None:
        """Release the memory of the bank."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def calibration(self) -> Recording:
        """Return the recordings of the photographs that the policies were calibrated with."""
        kept = kept_recordings(self.store)
        return joined([kept["choice"], kept["certification"]])

    def recording(self, samples: SampleSet) -> Recording:
        """Return the answers to pictures, recorded if they were not."""
        store, session = self._open()
        evidence, mutants = self.evidence, store.manifest.mutants

        def make() -> Arrays:
            views = pixel_views(store, samples.images)
            found = record(
                session,
                mutants,
                views,
                samples.labels,
                lambda done: self._report.progress(done, len(samples), f"{self.name}: {samples.kind}"),
                evidence,
            )
            made: Arrays = {
                "changes": found.changes.astype(np.uint8),
                "correct": found.correct.astype(np.uint8),
            }
            if found.doubts is not None and found.own_doubts is not None:
                made |= {"doubts": found.doubts, "own_doubts": found.own_doubts}
            return made

        inputs: Mapping[str, object] = {"version": store.version, "pictures": samples.digest}
        kept = self._workspace.within("recordings").arrays(f"{self.name}-{samples.file_name}", inputs, make)
        return Recording(
            kept["changes"].astype(np.bool_),
            kept["correct"].astype(np.bool_),
            kept.get("doubts"),
            kept.get("own_doubts"),
        )

    def scores(self, recording: Recording) -> NDArray[np.float64]:
        """Return the whole evidence against each label, float64 [images].

        It is the summed doubt of all mutants and of the original with the store's weights, in
        mutants of full doubt; or the label change rate.
        """
        evidence = self.evidence
        if evidence is None or recording.doubts is None or recording.own_doubts is None:
            return recording.rates
        weights = np.asarray(evidence.weights or np.ones(recording.pool))
        total = recording.doubts @ weights + evidence.weighted(recording.own_doubts)
        return np.asarray(total / evidence.unit, dtype=np.float64)


def pixel_views(store: Store, pictures: NDArray[np.uint8]) -> PixelViews:
    """Return pictures uint8 [N, H, W, C] as every network of a store reads them."""
    specs = (store.manifest.input, *store.manifest.views)
    return PixelViews(
        tuple(
            np.stack([_resized(picture, spec.resize, spec.height, spec.width) for picture in pictures])
            for spec in specs
        ),
        specs,
    )


def _resized(picture: NDArray[np.uint8], rule: str, height: int, width: int) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    return np.asarray(ResizeRule.parse(rule).apply(image, height=height, width=width))
