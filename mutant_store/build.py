"""From a classifier and clean images to a published store."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from mutant_store.accuracy_filter import Accepted, AccuracyFilter, collect
from mutant_store.atomic import write_atomically
from mutant_store.bank import Bank, build_bank
from mutant_store.calibrate import CalibrationSettings, calibrate
from mutant_store.export import CHOICES, Mutants
from mutant_store.input_spec import InputOptions
from mutant_store.manifest import SCHEMA_VERSION, CalibrationRecord, DataParts, FileEntry, Manifest
from mutant_store.model_card import OutputKind
from mutant_store.neurons import neuron_count
from mutant_store.operators import operator_named
from mutant_store.operators.base import Operator
from mutant_store.progress import Checkpoint
from mutant_store.publish import building, publish
from mutant_store.reader import BANK, CALIBRATION, MANIFEST, MUTANTS, ORIGINAL, PREFIX, Store, open_store
from mutant_store.session import BankSession
from mutant_store.subject import Subject, load_subject
from mutant_store.verify import largest_difference, spread
from mutant_store.versions import built_with

_STAGING = ".building"
_VERIFIED = 8


class Reporter(Protocol):
    """Where a build says what it is doing."""

    def step(self, text: str) -> None:
        """A new step begins."""

    def progress(self, done: int, total: int, note: str) -> None:
        """How far the step is."""


@dataclass(frozen=True)
class BuildSettings:
    """What to build. ``rate`` is the share of neurons a mutant changes, ``seed`` decides every draw, ``layers`` is
    a regular expression for the names of the layers that may be changed.
    """

    operator: str
    rate: float
    mutants: int
    seed: int
    accuracy_ratio: float
    input: InputOptions
    calibration: CalibrationSettings
    output: str | None = None
    output_kind: OutputKind | None = None
    classes: list[str] | None = None
    layers: str = ""
    threads: int = 0


def build(model: Path, spec: str, out: Path, settings: BuildSettings, report: Reporter) -> Store:
    """Make the mutants, filter them, build the bank, calibrate and publish.

    A build that was killed goes on from the mutants it had accepted. The same inputs give the same version.

    Raises:
        GuardError: the model, the data or the settings do not allow it; the message names what and the remedy.
    """
    operator = operator_named(settings.operator)
    report.step(f"reading {model} and {spec}")
    subject = load_subject(
        model,
        spec,
        settings.input,
        output=settings.output,
        output_kind=settings.output_kind,
        classes=settings.classes,
        layers_pattern=settings.layers,
        max_false_alarm=settings.calibration.max_false_alarm,
    )
    with building(out):
        staged = out / _STAGING
        staged.mkdir(exist_ok=True)
        accepted = _accepted_mutants(subject, operator, settings, staged, report)
        pool = np.array(accepted.choices, dtype=np.int32)
        report.step("building and checking the mutant bank")
        bank = build_bank(subject.classifier, subject.layers, operator, pool, subject.probe)
        session = bank.session(settings.threads)
        mutants = Mutants(
            subject.classifier.model,
            operator.name,
            [layer.name for layer in subject.layers],
            pool,
            subject.classifier.input_name,
            subject.classifier.output_name,
        )
        largest_difference(session, mutants, spread(len(pool), _VERIFIED), subject.probe)
        report.step("calibrating on images that filtered no mutant")
        calibration = calibrate(
            session,
            len(pool),
            subject.choice,
            subject.certification,
            settings.calibration,
            settings.seed,
            report,
        )
        report.step("publishing")
        _write(staged, out.name, subject, settings, accepted, bank, mutants, calibration)
        version = publish(out, staged)
    return open_store(out, version)


def drawing(
    operator: Operator, subject: Subject, rate: float, seed: int
) -> Callable[[int], NDArray[np.int32]]:
    """Candidate number → choice, a function of the seed and the number alone."""

    def draw(number: int) -> NDArray[np.int32]:
        return operator.draw(subject.layers, rate, np.random.default_rng([seed, number]))

    return draw


def _accepted_mutants(
    subject: Subject, operator: Operator, settings: BuildSettings, staged: Path, report: Reporter
) -> Accepted:
    part = subject.filter
    report.step(
        f"drawing {settings.mutants} mutants ({operator.name}, rate {settings.rate:g} of "
        f"{neuron_count(subject.layers)} neurons) that keep {settings.accuracy_ratio:.0%} of the original's "
        f"{part.correct.mean():.2%} on {len(part.labels)} images"
    )
    draw = drawing(operator, subject, settings.rate, settings.seed)
    checkpoint = Checkpoint(
        staged / "progress.json",
        model=hashlib.sha256(subject.classifier.model.SerializeToString(deterministic=True)).hexdigest(),
        input=subject.input.model_dump(),
        data=[part.data.range.source, part.data.range.start, part.data.range.stop],
        labels=hashlib.sha256(part.labels.tobytes()).hexdigest(),
        classes=subject.classes,
        operator=operator.name,
        layers=[layer.name for layer in subject.layers],
        rate=settings.rate,
        seed=settings.seed,
        accuracy_ratio=settings.accuracy_ratio,
        mutants=settings.mutants,
    )

    def load(pool: NDArray[np.int32]) -> BankSession:
        return build_bank(subject.classifier, subject.layers, operator, pool, subject.probe).session(
            settings.threads
        )

    def progress(accepted: Accepted) -> None:
        checkpoint.save(accepted)
        found = len(accepted.candidates)
        report.progress(found, settings.mutants, f"{found / max(accepted.drawn, 1):.0%} accepted")

    filtering = AccuracyFilter(part.inputs, part.labels, int(part.correct.sum()), settings.accuracy_ratio)
    return collect(
        filtering, settings.mutants, checkpoint.load(draw), draw=draw, load=load, progress=progress
    )


def _write(
    staged: Path,
    name: str,
    subject: Subject,
    settings: BuildSettings,
    accepted: Accepted,
    bank: Bank,
    mutants: Mutants,
    calibration: CalibrationRecord,
) -> None:
    contents = {
        PREFIX: bank.prefix.SerializeToString(deterministic=True),
        BANK: bank.bank.SerializeToString(deterministic=True),
        ORIGINAL: mutants.original.SerializeToString(deterministic=True),
        MUTANTS: save({CHOICES: mutants.choices}),
        CALIBRATION: calibration.model_dump_json(indent=1).encode(),
    }
    for file_name, content in contents.items():
        write_atomically(staged / file_name, content)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        input=subject.input,
        input_name=mutants.input_name,
        output_name=mutants.output_name,
        output_kind=subject.classifier.output_kind,
        classes=subject.classes,
        operator=settings.operator,
        rate=settings.rate,
        seed=settings.seed,
        neurons=neuron_count(subject.layers),
        layers=mutants.layers,
        mutants=settings.mutants,
        decks=operator_named(settings.operator).decks,
        candidates=accepted.candidates,
        candidates_drawn=accepted.drawn,
        accuracy_ratio=settings.accuracy_ratio,
        original_accuracy=float(subject.filter.correct.mean()),
        accuracies=accepted.accuracies,
        data=DataParts(
            filter=subject.filter.data.portable_range,
            choice=subject.choice.data.portable_range,
            certification=subject.certification.data.portable_range,
        ),
        files={
            file_name: FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
            for file_name, content in contents.items()
        },
        built_with=built_with(),
    )
    write_atomically(staged / MANIFEST, manifest.model_dump_json(indent=1).encode())
    known = {*contents, MANIFEST}
    for entry in staged.iterdir():
        if entry.name not in known:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
