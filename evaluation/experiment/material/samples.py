"""Images of an experiment: clean ones, and those that attacks make of them."""

from dataclasses import dataclass

import numpy as np

from evaluation.attacks.collect import Collected, collect
from evaluation.attacks.settings import AttackSettings
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.records.intervals import counted
from evaluation.experiment.records.results import KindResult
from evaluation.sample_set import SampleSet
from evaluation.workspace import Workspace
from mutant_guard.errors import DataError
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.datasets import ImageData
from mutant_store.reporter import Reporter

_IN_THE_NAME = {"name", "method", "paper", "samples", "attempts"}


@dataclass(frozen=True, eq=False)
class Samples:
    """Images by kind, normal ones first, and a record of each kind."""

    sets: dict[str, SampleSet]
    records: list[KindResult]


def make_samples(
    subject: ExperimentSubject,
    workspace: Workspace,
    report: Reporter,
    jobs: int,
    cluster: RayCluster | None = None,
) -> Samples:
    """Make clean test images, and adversarial ones from rightly labelled test images.

    A kind of which no attempt fools the classifier is recorded, but has no images.

    Raises:
        DataError: the test split has no rightly or no wrongly labelled image.
    """
    sets: dict[str, SampleSet] = {}
    records = []
    for clean in subject.clean():
        if not len(clean):
            raise DataError(f"{subject.test.range.spec} has no {clean.kind} image; nothing can be measured")
        sets[clean.kind] = clean
        records.append(_clean(clean))
    candidates = _part(subject.test, subject.right)
    for attack in subject.config.attacks:
        found = collect(
            subject.weights_file,
            attack,
            candidates,
            subject.right,
            subject.config.seed,
            workspace.within("attacks"),
            report,
            jobs,
            seeds=subject.filter.images,
            cluster=cluster,
        )
        records.append(_attacked(attack, found))
        report.step(f"{attack.name}: {found.fooled:,} of {found.attempts:,} attempts fool")
        if len(found.samples):
            sets[attack.name] = found.samples
    return Samples(sets, records)


def _part(images: ImageData, positions: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> ImageData:
    return ImageData(images.images[positions], images.labels[positions], images.class_names, images.range)


def _clean(found: SampleSet) -> KindResult:
    return KindResult(
        kind=found.kind,
        paper=found.kind,
        method=None,
        settings={},
        attempts=len(found),
        success=None,
        images=len(found),
        l2=None,
        linf=None,
        linf_most=None,
        seconds=None,
    )


def _attacked(attack: AttackSettings, found: Collected) -> KindResult:
    any_kept = bool(len(found.samples))
    settings = attack.model_dump(exclude=_IN_THE_NAME)
    if found.agreement is not None:
        settings |= {"substitute_agreement": round(found.agreement, 4), "queries": found.queries}
    return KindResult(
        kind=attack.name,
        paper=attack.paper,
        method=attack.method,
        settings=settings,
        attempts=found.attempts,
        success=counted(found.fooled, found.attempts),
        images=len(found.samples),
        l2=float(found.l2.mean()) if any_kept else None,
        linf=float(found.linf.mean()) if any_kept else None,
        linf_most=float(found.linf.max()) if any_kept else None,
        seconds=found.seconds,
    )
