"""Selection of a build's mutants: drawn, filtered by accuracy, and recorded.

The record lets a build go on after it was killed.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.pool import Mutant
from mutant_guard.errors import ModelError
from mutant_guard.store.reader import COMPANION, ROBUST
from mutant_store.bank.builder import BankBuilder
from mutant_store.bank.entries import tail_cost
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.companions.companion import Companion
from mutant_store.loading.subject import Subject
from mutant_store.operators.base import Operator
from mutant_store.operators.given import GivenNetworks, choice_of
from mutant_store.operators.retrain import Retrain
from mutant_store.pool.accuracy_filter import Accepted, AccuracyFilter, HopelessError, collect
from mutant_store.pool.candidates import Candidates
from mutant_store.pool.few_images import FewImages
from mutant_store.pool.progress import FilterCheckpoint
from mutant_store.pool.rate_search import Trial, find_rate
from mutant_store.reporter import Reporter, lasting
from mutant_store.robust.robust_network import RobustNetwork
from mutant_store.versions import built_with

_CHUNK_COST = 3e11
"""Multiply-adds of a chunk of candidates: about ten seconds of a core."""
_SMALLEST_CHUNK, _LARGEST_CHUNK = 8, 64
"""Limits of a chunk: the candidates of one share what is computed once an image."""
_BATCH, _NONE_OF = 12, 48
"""Mutants tried together at a given rate, and mutants of which one must be accurate."""
_TRIED = 64
_WORTHWHILE = 0.1
_SOON = 5.0
"""Seconds within which a rate must have been found for it to be tried on more."""
_REJECTED_COST = 0.3
"""Share of its images that a mutant is judged on which is not accurate, roughly."""
_RATES = 8
"""Rates that a search tries, roughly."""
_FAILURES = 3
"""Largest number of trained mutants that are not accurate enough; each is minutes of work."""


_Judged = tuple[NDArray[np.bool_], NDArray[np.float64]]
"""Which of some mutants are accurate, and their accuracies."""


class Trainer(Protocol):
    """Maker of mutants by training, see ``Retrainer``."""

    @property
    def summary(self) -> str:
        """Way in which mutants are trained, in a few words."""

    def mutants(self, numbers: list[int], report: Reporter) -> Iterator[tuple[int, Mutant]]:
        """Train the mutants of these numbers, and yield each with its number, in their order."""


@dataclass(frozen=True)
class SelectionSettings:
    """Settings of the pool: number, draw and accuracy of its mutants.

    Attributes:
        rate: mutation rate γ of the operators; None finds one for each, see ``find_rate``.
        mutants: number of mutants in the pool.
        seed: seed of every draw.
        accuracy_ratio: least accuracy of a mutant as a share of the original's.
        filter_error: probability with which the sequential filter may judge a mutant otherwise than
            the exact filter; 0 asks for the exact one.
        jobs: number of chunks filtered at a time.
    """

    rate: float | None
    mutants: int
    seed: int
    accuracy_ratio: float
    filter_error: float = 0.0
    jobs: int = 1


@dataclass(frozen=True)
class Selection:
    """Pool of a build, and the draws that it came from.

    Attributes:
        pool: the mutants.
        candidates: number of the draw that each mutant came from.
        accuracies: accuracy of each mutant.
        drawn: number of mutants drawn in all.
        rates: mutation rate of each operator that drew mutants.
    """

    pool: list[Mutant]
    candidates: list[int]
    accuracies: list[float]
    drawn: int
    rates: dict[str, float]


def select(
    subject: Subject,
    builder: BankBuilder,
    operators: list[Operator],
    settings: SelectionSettings,
    staged: Path,
    report: Reporter,
    retrainer: Trainer | None = None,
    companions: Sequence[Companion] = (),
    robust: Sequence[RobustNetwork] = (),
    cluster: RayCluster | None = None,
) -> Selection:
    """Draw and filter the pool; several operators get equal shares and take turns in it.

    Args:
        subject: the classifier and its images.
        builder: builder of the banks that candidates are judged in.
        operators: the operators.
        settings: settings of the pool.
        staged: directory for the record of accepted draws.
        report: receiver of the steps and of the progress.
        retrainer: trainer of the mutants of the operator ``retrain``, if it is among the operators.
        companions: mutants of the operator ``companion``, which come first and are no part of
            ``settings.mutants``.
        robust: mutants of the operator ``robust``, which come next and are no part of it either.
        cluster: cluster that filters what operators draw; None filters on this machine.

    Raises:
        ModelError: hardly any mutant is accurate enough, or an operator has nothing to change at
            this rate.
    """
    accepted, rates = [], {}
    operators = [operator for operator in operators if not isinstance(operator, GivenNetworks)]
    for turn, operator in enumerate(operators):
        wanted = (settings.mutants - turn + len(operators) - 1) // len(operators)
        collection = _Collection(subject, builder, operator, settings, staged, report, cluster)
        if retrainer is not None and operator.name == Retrain.name:
            accepted.append(collection.train(wanted, retrainer))
        else:
            rates[operator.name] = collection.find_rate(wanted)
            accepted.append(collection.collect(wanted))
    given: list[tuple[int, Companion | RobustNetwork]] = [*enumerate(companions), *enumerate(robust)]
    names = [COMPANION] * len(companions) + [ROBUST] * len(robust)
    pool = [Mutant(name, choice_of(number)) for name, (number, _) in zip(names, given, strict=True)]
    candidates, accuracies = [number for number, _ in given], [network.accuracy for _, network in given]
    for number in range(settings.mutants if operators else 0):
        place, own = divmod(number, len(operators))
        pool.append(accepted[own].mutants[place])
        candidates.append(accepted[own].candidates[place])
        accuracies.append(accepted[own].accuracies[place])
    drawn = len(given) + sum(chosen.drawn for chosen in accepted)
    return Selection(pool, candidates, accuracies, drawn, rates)


class _Collection:
    """Mutants of one operator, drawn or trained."""

    def __init__(
        self,
        subject: Subject,
        builder: BankBuilder,
        operator: Operator,
        settings: SelectionSettings,
        staged: Path,
        report: Reporter,
        cluster: RayCluster | None,
    ) -> None:
        self._subject, self._builder, self._operator = subject, builder, operator
        self._settings, self._staged, self._report = settings, staged, report
        self._cluster, self._beside = cluster, settings.jobs if cluster is None else cluster.beside
        self._rate = settings.rate or 0.0
        part = subject.filter
        self._filter = AccuracyFilter(
            part.inputs,
            part.labels,
            int(part.correct.sum()),
            settings.accuracy_ratio,
            settings.filter_error,
            settings.seed,
        )

    def find_rate(self, wanted: int) -> float:
        """Return the rate: the one that the settings give, or the one that a search finds.

        Where judging mutants takes long, some are tried at a given rate as well.

        Raises:
            ModelError: no rate lets enough mutants stay accurate, or the given one lets none.
        """
        operator, few = self._operator, FewImages(self._filter, self._subject, self._load_alone)
        on = f"on {few.images} images"
        found: Trial | None = None
        if self._settings.rate is None:
            population = operator.population(self._builder.parameters)
            self._report.step(
                f"looking for the rate of {operator.name} ({population}): a few mutants at each, {on}"
            )
            trials = 0

            def tell(trial: Trial) -> None:
                nonlocal trials
                trials += 1
                self._report.progress(
                    trials, _RATES, f"rates tried; at {trial.rate:g} {trial.kept} of {trial.tried} kept"
                )

            found = find_rate(self._draw, few.judge, tell)
            self._rate = found.rate
        elif self._chunk() < _LARGEST_CHUNK:
            found = self._tried(few)
            if not found.kept:
                raise ModelError(
                    f"none of {found.tried} mutants keeps {self._settings.accuracy_ratio:.0%} of the original's "
                    f"accuracy {on}; {self._suggestion()}"
                )
        if found is not None:
            seconds = few.seconds * len(self._filter.labels) / few.images
            self._report.step(
                f"rate {found.rate:g}: {found.kept} of {found.tried} mutants keep the accuracy {on}; some "
                f"{lasting(seconds)} a mutant, {lasting(self._estimate(found, seconds, wanted))} for all {wanted}"
            )
        return self._rate

    def _tried(self, few: FewImages) -> Trial:
        """Try mutants at the given rate until one is accurate, or many are not."""
        tried = 0
        while tried < _NONE_OF:
            kept = few.judge([self._draw(number) for number in range(tried, tried + _BATCH)])
            tried += _BATCH
            if kept.any():
                return Trial(self._rate, int(kept.sum()), tried)
        return Trial(self._rate, 0, tried)

    def _estimate(self, found: Trial, seconds: float, wanted: int) -> float:
        """Return the seconds until there are enough mutants, roughly."""
        drawn = wanted / max(found.share, 1 / found.tried)
        return (wanted + _REJECTED_COST * (drawn - wanted)) * seconds

    def collect(self, wanted: int) -> Accepted:
        settings, part, operator = self._settings, self._subject.filter, self._operator
        self._report.step(
            f"drawing {wanted} mutants ({operator.name}, rate {self._rate:g} of "
            f"{operator.population(self._builder.parameters)}) that keep {settings.accuracy_ratio:.0%} of the "
            f"original's {part.correct.mean():.2%} on {len(part.labels)} images"
        )
        checkpoint = self._checkpoint(wanted)
        accepted = checkpoint.load()
        candidates, cluster = self._candidates(), self._cluster
        accepted.mutants = [candidates.draw(number) for number in accepted.candidates]

        def progress(found: Accepted) -> None:
            checkpoint.save(found)
            done = len(found.candidates)
            self._report.progress(done, wanted, f"kept, of {found.drawn} drawn")

        self._report.progress(len(accepted.candidates), wanted, f"kept, of {accepted.drawn} drawn")
        try:
            return collect(
                self._filter,
                wanted,
                accepted,
                draw=candidates.draw,
                load=candidates.load,
                progress=progress,
                chunk=self._chunk(),
                jobs=settings.jobs if cluster is None else cluster.jobs,
                executor=None if cluster is None else cluster.executor(),
            )
        except HopelessError as error:
            raise ModelError(f"{error}; {self._suggestion()}") from error

    def train(self, wanted: int, retrainer: Trainer) -> Accepted:
        """Train mutants in the order of their numbers until enough of them are accurate.

        Raises:
            ModelError: too few mutants are accurate.
        """
        settings, part = self._settings, self._subject.filter
        self._report.step(
            f"training {wanted} mutants ({retrainer.summary}) that keep {settings.accuracy_ratio:.0%} of the "
            f"original's {part.correct.mean():.2%} on {len(part.labels)} images"
        )
        accepted = Accepted()
        failed: list[float] = []
        judge = self._judges()

        def take(number: int, mutant: Mutant, judged: "Future[_Judged]") -> None:
            kept, accuracies = judged.result()
            accuracy = float(accuracies[0])
            accepted.drawn = number + 1
            if kept[0]:
                accepted.candidates.append(number)
                accepted.mutants.append(mutant)
                accepted.accuracies.append(accuracy)
            else:
                failed.append(accuracy)
            what = "kept" if kept[0] else "not accurate enough, another takes its place"
            self._report.step(f"mutant {number}: {accuracy:.2%} of the filter's images right, {what}")
            if len(failed) > _FAILURES:
                raise ModelError(
                    f"{len(failed)} of {accepted.drawn} retrained mutants do not keep "
                    f"{settings.accuracy_ratio:.0%} of the original's accuracy of {part.correct.mean():.2%}: "
                    f"they get {min(failed):.1%} to {max(failed):.1%} right; train longer with --epochs, redraw "
                    "a smaller --share, or lower --accuracy-ratio"
                )

        while len(accepted.candidates) < wanted:
            following = range(accepted.drawn, accepted.drawn + wanted - len(accepted.candidates))
            waiting: deque[tuple[int, Mutant, Future[_Judged]]] = deque()
            for number, mutant in retrainer.mutants(list(following), self._report):
                waiting.append((number, mutant, judge(mutant)))
                while waiting and waiting[0][2].done():
                    take(*waiting.popleft())
            while waiting:
                take(*waiting.popleft())
        return accepted

    def _judges(self) -> Callable[[Mutant], "Future[_Judged]"]:
        """Return a function that has a mutant judged on the cluster, or judges it at once without one."""
        candidates, filtering = self._candidates(), self._filter

        def judge(mutant: Mutant) -> _Judged:
            session = candidates.load([mutant])
            try:
                return filtering.judge(session, 1)
            finally:
                session.close()

        def at_once(mutant: Mutant) -> "Future[_Judged]":
            future: Future[_Judged] = Future()
            future.set_result(judge(mutant))
            return future

        return at_once if self._cluster is None else partial(self._cluster.executor().submit, judge)

    def _chunk(self) -> int:
        """Return the number of candidates that take some seconds together.

        It is estimated from the layers' sizes, so that it is the same on any machine.
        """
        each = len(self._filter.labels) * tail_cost(self._builder.parameters, 0, shared=False)
        return int(np.clip(_CHUNK_COST / each, _SMALLEST_CHUNK, _LARGEST_CHUNK))

    def _draw(self, number: int, rate: float | None = None) -> Mutant:
        return self._candidates(rate).draw(number)

    def _candidates(self, rate: float | None = None) -> Candidates:
        return Candidates(
            self._builder, self._operator, self._settings.seed, rate or self._rate, self._beside
        )

    def _load_alone(self, pool: list[Mutant]) -> BankSession:
        return self._builder.build(pool).session(threads=self._settings.jobs)

    def _load(self, pool: list[Mutant]) -> BankSession:
        return self._candidates().load(pool)

    def _checkpoint(self, wanted: int) -> FilterCheckpoint:
        subject, settings, part = self._subject, self._settings, self._subject.filter
        return FilterCheckpoint(
            self._staged / f"progress-{self._operator.name}.json",
            model=hashlib.sha256(subject.classifier.model.SerializeToString(deterministic=True)).hexdigest(),
            input=subject.input.model_dump(),
            data=[part.data.range.source, part.data.range.start, part.data.range.stop],
            labels=hashlib.sha256(part.labels.tobytes()).hexdigest(),
            classes=subject.classes,
            operator=self._operator.name,
            layers=[layer.name for layer in subject.layers],
            rate=self._rate,
            seed=settings.seed,
            accuracy_ratio=settings.accuracy_ratio,
            filter_error=settings.filter_error,
            mutants=wanted,
            versions=built_with(),
        )

    def _suggestion(self) -> str:
        """Return advice with a rate at which a worthwhile share survives, found by trying."""
        lost = "no lower rate helps either: lower --accuracy-ratio, or restrict the mutants to some --layers"
        started = time.perf_counter()
        try:
            found = find_rate(self._draw, FewImages(self._filter, self._subject, self._load_alone).judge)
            kept, tried = found.kept, found.tried
            if time.perf_counter() - started < _SOON:
                pool = [self._draw(number, found.rate) for number in range(_TRIED)]
                session = self._load(pool)
                kept, tried = int(self._filter.judge(session, _TRIED)[0].sum()), _TRIED
                session.close()
        except ModelError:
            return lost
        if kept < _WORTHWHILE * tried or found.rate >= self._rate:
            return lost
        return f"at --rate {found.rate:.3g} {kept} of {tried} do: use that, or lower --accuracy-ratio"
