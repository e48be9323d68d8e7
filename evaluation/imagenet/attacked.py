"""Attacked pictures: made a few at a time, kept, and judged as the server would see them."""

import importlib.metadata
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.attacks.craft import attacked
from evaluation.attacks.digest import digest, file_digest
from evaluation.attacks.randomness import seed_of
from evaluation.attacks.settings import AttackSettings
from evaluation.experiment.records.intervals import counted
from evaluation.experiment.records.results import KindResult
from evaluation.imagenet.pictures import PictureClassifier
from evaluation.sample_set import SampleSet
from evaluation.workspace import Arrays, Workspace
from mutant_store.reporter import Reporter
from mutant_store.threads import one_thread

_IN_THE_NAME = {"name", "method", "paper", "samples", "attempts"}
_TOGETHER = 10


@dataclass(frozen=True, eq=False)
class AttackedPictures:
    """Pictures that fool the original after rounding to 8 bits, and the record of the attack."""

    samples: SampleSet
    record: KindResult


def attack(
    original: PictureClassifier,
    settings: AttackSettings,
    clean: SampleSet,
    seed: int,
    workspace: Workspace,
    report: Reporter,
) -> AttackedPictures:
    """Attack pictures in their order until enough of them fool or the attempts are spent.

    Every few of them are kept in the workspace when they are done. Gradients follow the original's
    own resize and crop; what counts is its label of the rounded picture, resized by Pillow.

    Args:
        original: the classifier to fool.
        settings: method and settings.
        clean: pictures that the original labels rightly.
        seed: seed of all that is drawn.
        workspace: workspace that keeps the pictures.
        report: reporter that is told how many of the wanted pictures there are.

    Raises:
        DataError: a package of the attacks is not installed.
    """
    made: list[Arrays] = []
    attempts = found = 0
    report.step(f"{settings.name}: pictures of {original.classifier.name}")
    while attempts < min(settings.attempts, len(clean)) and found < settings.samples:
        places = slice(attempts, min(attempts + _TOGETHER, settings.attempts, len(clean)))
        part = SampleSet(settings.name, clean.images[places], clean.labels[places], clean.sources[places])
        made.append(_kept(original, settings, part, seed_of(seed, attempts), workspace))
        attempts, found = attempts + len(part), found + int(made[-1]["fooled"].sum())
        report.progress(
            min(found, settings.samples), settings.samples, f"{settings.name}, {attempts} attempts"
        )
    images, fooled = (np.concatenate([part[key] for part in made]) for key in ("images", "fooled"))
    kept = np.flatnonzero(fooled)[: settings.samples]
    samples = SampleSet(settings.name, images[kept], clean.labels[kept], clean.sources[kept])
    seconds = float(sum(part["seconds"][0] for part in made))
    return AttackedPictures(samples, _record(settings, samples, clean.images[kept], fooled, seconds))


def _kept(
    original: PictureClassifier, settings: AttackSettings, part: SampleSet, seed: int, workspace: Workspace
) -> Arrays:
    inputs = {
        "attack": settings.model_dump(exclude={"name", "samples", "attempts", "paper"}),
        "weights": file_digest(original.classifier.weights),
        "resize": original.classifier.resize,
        "pictures": digest(part.images.tobytes(), part.labels.tobytes()),
        "seed": seed,
        "toolbox": importlib.metadata.version("adversarial-robustness-toolbox"),
    }

    def make() -> Arrays:
        started = time.perf_counter()
        with one_thread():
            images = attacked(original.on_pictures, settings, part.images, part.labels, seed)
            fooled = original.logits(images).argmax(axis=1) != part.labels
        return {"images": images, "fooled": fooled, "seconds": np.array([time.perf_counter() - started])}

    return workspace.within("pictures").arrays(settings.method, inputs, make)


def _record(
    settings: AttackSettings,
    samples: SampleSet,
    clean: NDArray[np.uint8],
    fooled: NDArray[np.bool_],
    seconds: float,
) -> KindResult:
    moved = np.abs(samples.images.astype(np.float64) - clean) / 255
    linf = moved.max(axis=(1, 2, 3), initial=0)
    some = bool(len(samples))
    return KindResult(
        kind=settings.name,
        paper=None,
        method=settings.method,
        settings=settings.model_dump(exclude=_IN_THE_NAME),
        attempts=len(fooled),
        success=counted(int(fooled.sum()), len(fooled)),
        images=len(samples),
        l2=float(np.sqrt((moved**2).sum(axis=(1, 2, 3))).mean()) if some else None,
        linf=float(linf.mean()) if some else None,
        linf_most=float(linf.max()) if some else None,
        seconds=seconds,
    )
