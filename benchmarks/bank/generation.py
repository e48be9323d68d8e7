"""Making accurate mutants: the filter on the bank against torch modules one after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.bank import eager
from benchmarks.bank.networks import MODELS
from benchmarks.bank.pools import draw, rate_of
from benchmarks.figures import Figure, milliseconds
from benchmarks.interleave import Contender, fastest, interleaved
from benchmarks.sections import Section, Table, held
from mutant_guard.bank.cores import available_cores
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_store.bank.builder import BankBuilder
from mutant_store.graph.activations import Activations
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.subject import Subject, load_subject
from mutant_store.networks import weights
from mutant_store.operators import OPERATORS
from mutant_store.pool.selection import Selection, SelectionSettings, select

_MODEL = MODELS / "mnist-lenet.onnx"
_OPERATOR, _RATIO, _ERROR = "nai", 0.9, 1e-6
_MUTANTS, _SAMPLE, _REPETITIONS = 500, 100, 5
_QUICK_SAMPLE, _QUICK_REPETITIONS = 15, 2
_BATCH = 64
_SEQUENTIAL, _EXACT, _EAGER = "sequential", "exact", "eager"
_TARGET = 20.0


class _Silent:
    """Reporter that costs nothing."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def progress(self, done: int, total: int, note: str) -> None:
        """Say nothing."""


@dataclass(frozen=True, eq=False)
class _Task:
    """Task for both ways: the classifier with its images, and the same network in torch."""

    subject: Subject
    module: nn.Module

    @cached_property
    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """The filter's images and labels, 64 at a time."""
        part = self.subject.filter
        images, labels = torch.from_numpy(part.inputs[:]), torch.from_numpy(part.labels)
        return list(zip(torch.split(images, _BATCH), torch.split(labels, _BATCH), strict=True))

    @cached_property
    def builder(self) -> BankBuilder:
        """Builder of the classifier's banks."""
        subject = self.subject
        return BankBuilder(subject.classifier, subject.layers, Activations(subject.classifier, subject.probe))


def measure(quick: bool, mnist: Path, say: Callable[[str], None]) -> Section:
    """Time the making of 500 accurate NAI mutants of LeNet.

    Args:
        quick: whether to take a smaller sample.
        mnist: folder of the four IDX files.
        say: callback that is told what is being done.

    Raises:
        DataError: MNIST is not there.
    """
    task = _Task(_subject(mnist), weights.load(_MODEL.with_suffix(".safetensors")).network)
    sample, repetitions = (_QUICK_SAMPLE, _QUICK_REPETITIONS) if quick else (_SAMPLE, _REPETITIONS)
    say(f"{_MUTANTS} accurate mutants of LeNet, {_OPERATOR}, against {sample} candidates one by one")
    selections: dict[str, Selection] = {}
    accepted: list[int] = []
    contenders: dict[str, Contender] = {
        _SEQUENTIAL: lambda: selections.update({_SEQUENTIAL: _select(task, _ERROR)}),
        _EXACT: lambda: selections.update({_EXACT: _select(task, 0.0)}),
    }
    for threads in sorted({1, available_cores()}):
        contenders[f"{_EAGER} {threads}"] = _eager_run(task, sample, threads, accepted)
    timings = interleaved(contenders, repetitions, warm_ups=0 if quick else 1)
    torch.set_num_threads(available_cores())
    best = fastest(timings, _EAGER)
    exact = selections[_EXACT]
    eager_seconds = timings[best].median / sample * exact.drawn
    from_eager = set(exact.candidates).intersection(range(sample)).symmetric_difference(accepted)
    from_exact = set(exact.candidates).symmetric_difference(selections[_SEQUENTIAL].candidates)
    key = f"{_OPERATOR}_lenet_generation"
    figures = [
        Figure(f"{key}_vs_eager", eager_seconds / timings[_SEQUENTIAL].median, "x", _TARGET),
        Figure(f"{key}_exact_vs_eager", eager_seconds / timings[_EXACT].median, "x"),
        Figure(f"{key}_exact_differs_from_eager", len(from_eager), ""),
        Figure(f"{key}_sequential_differs_from_exact", len(from_exact), ""),
    ]
    rows = [
        [f"{name} filter", milliseconds(timings[name].median), held(figure)]
        for name, figure in zip((_SEQUENTIAL, _EXACT), figures, strict=False)
    ]
    threads_taken = best.removeprefix(_EAGER).strip()
    measured = f"eager, scaled up from {sample} of {exact.drawn} candidates [{threads_taken}]"
    rows.append([measured, milliseconds(eager_seconds), ""])
    rate, images = rate_of("lenet", _OPERATOR), len(task.subject.filter.labels)
    notes = [
        f"Accurate: {_RATIO:.0%} of the original's right answers on {images:,} images of MNIST's holdout. The "
        f"sequential filter errs with probability {_ERROR:g} a mutant; {len(from_exact)} of its mutants are not the "
        "exact filter's, or the other way round.",
        f"eager: copy the module, mutate it, count right answers in batches of {_BATCH}; the first {sample} "
        f"candidates, with 1 thread and with {available_cores()}, the faster in brackets. It judges "
        f"{len(from_eager)} of them otherwise than the exact filter.",
    ]
    title = f"{_MUTANTS} accurate mutants of LeNet, {_OPERATOR} at rate {rate:g}, milliseconds"
    return Section("Generation", [Table(title, ["", "time", "against eager"], rows, notes)], figures)


def _subject(mnist: Path) -> Subject:
    options = InputOptions(None, None, None, "exact")
    return load_subject(
        _MODEL,
        f"mnist:{mnist}@holdout",
        options,
        output=None,
        output_kind=None,
        classes=None,
        layers_pattern="",
        calibration=CalibrationSettings(),
    )


def _select(task: _Task, error: float) -> Selection:
    settings = SelectionSettings(
        rate=rate_of("lenet", _OPERATOR),
        mutants=_MUTANTS,
        seed=0,
        accuracy_ratio=_RATIO,
        filter_error=error,
        jobs=available_cores(),
    )
    with TemporaryDirectory() as staged:
        return select(task.subject, task.builder, [OPERATORS[_OPERATOR]], settings, Path(staged), _Silent())


def _eager_run(task: _Task, sample: int, threads: int, accepted: list[int]) -> Contender:
    """Return a contender that judges the first candidates, their numbers left in ``accepted``."""
    parameters, rate = task.builder.parameters, rate_of("lenet", _OPERATOR)
    needed = np.ceil(round(_RATIO * int(task.subject.filter.correct.sum()), 9))
    batches = task.batches

    def run() -> None:
        accepted[:] = [
            number
            for number in range(sample)
            if eager.correct(
                eager.mutated(task.module, draw(parameters, _OPERATOR, rate, number)), batches, threads
            )
            >= needed
        ]

    return run
