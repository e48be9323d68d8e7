"""Images under attack, the images that attacks start from, and the store that is asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.imagenet.classifiers import PublishedClassifier
from evaluation.imagenet.photographs import Photographs
from evaluation.imagenet.stores import GuardedClassifier
from evaluation.queries.config import Published, QueriesConfig
from evaluation.queries.services.response import Pixels
from evaluation.workspace import Workspace
from mutant_guard.errors import DataError
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.resizing import ResizeRule
from mutant_store.datasets import load
from mutant_store.reporter import Reporter

_TOGETHER = 200
_POOL = 50
"""Rightly labelled images, the first of all, among which attacks find one to start from.

Who attacks tries images until one is answered without an alarm.
"""


class Labelling(Protocol):
    """Classifier that labels images."""

    @property
    def spec(self) -> InputSpec:
        """Its input."""

    def labels(self, pixels: Pixels) -> NDArray[np.int64]:
        """Return the labels of images uint8 [N, H, W, C], int64 [N]."""

    def alarms(self, pixels: Pixels) -> NDArray[np.bool_]:
        """Return which of images uint8 [N, H, W, C] raise an alarm, bool [N]."""


@dataclass(frozen=True, eq=False)
class Attacked:
    """Images under attack.

    Attributes:
        images: uint8 [N, H, W, C], all labelled rightly.
        labels: int64 [N], the true labels.
        starts: uint8 [N, H, W, C], an image of another label for each, without an alarm.
    """

    images: Pixels
    labels: NDArray[np.int64]
    starts: Pixels

    def part(self, places: slice) -> "Attacked":
        """Return some of the images."""
        return Attacked(self.images[places], self.labels[places], self.starts[places])


def published_store(
    published: Published, data: Path, seed: int, workspace: Workspace, report: Reporter
) -> Path:
    """Return the directory of the store of a published classifier, which is built unless it is there.

    Raises:
        GuardError: the photographs, the packages or the settings do not allow it.
    """
    photographs = _photographs(published, data, seed, workspace)
    name = "+".join(published.companions)
    guarded = GuardedClassifier(
        name, published.original, published.companions, photographs, workspace, report
    )
    try:
        return guarded.store.path.parent
    finally:
        guarded.close()


def attacked(config: QueriesConfig, data: Path, judge: Labelling, workspace: Workspace) -> Attacked:
    """Return rightly labelled images in a random order of the seed, each with one to start from.

    Raises:
        DataError: the images cannot be read, or too few are labelled rightly.
    """
    images, labels = _everything(config, data, judge, workspace)
    rng = np.random.default_rng(config.seed)
    order = rng.permutation(len(images))
    chosen: list[int] = []
    wanted = max(config.images, _POOL)
    for start in range(0, len(order), _TOGETHER):
        part = order[start : start + _TOGETHER]
        chosen += part[judge.labels(images[part]) == labels[part]].tolist()
        if len(chosen) >= wanted:
            break
    under, pool = chosen[: config.images], np.array(chosen[:_POOL])
    pool = pool[~judge.alarms(images[pool])] if chosen else pool
    if len(set(labels[pool].tolist())) < 2:
        raise DataError(
            f"the classifier labels too few images of '{config.source}' rightly: attacks start from another class"
        )
    starts = [int(rng.choice(pool[labels[pool] != labels[one]])) for one in under]
    return Attacked(images[under], labels[under], images[starts])


def _everything(
    config: QueriesConfig, data: Path, judge: Labelling, workspace: Workspace
) -> tuple[Pixels, NDArray[np.int64]]:
    spec, published = judge.spec, config.published
    if published is None:
        found = load(
            config.of_folder(data), shape=(spec.height, spec.width, spec.channels), resize=spec.resize
        )
        return found.images, found.labels
    photographs = _photographs(published, data, config.seed, workspace)
    rule = ResizeRule.parse(PublishedClassifier.named(published.original).resize)
    return photographs.pictures(photographs.tested, rule, spec.height), photographs.tested


def _photographs(published: Published, data: Path, seed: int, workspace: Workspace) -> Photographs:
    source = Path(published.photographs.replace("{data}", str(data)))
    return Photographs.unpacked(source, workspace.path, published.calibrating, seed)
