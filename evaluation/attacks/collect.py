"""Images that fool a classifier, as many as asked for."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.attacks.chunk import SIZE, Chunk
from evaluation.attacks.digest import file_digest
from evaluation.attacks.kept_substitute import KeptSubstitute
from evaluation.attacks.settings import AttackSettings, BlackBox
from evaluation.sample_set import SampleSet
from evaluation.workspace import Arrays, Workspace
from mutant_guard.errors import DataError
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.datasets import ImageData
from mutant_store.reporter import Reporter


@dataclass(frozen=True, eq=False)
class Collected:
    """Results of an attack.

    Attributes:
        samples: the images that fool the classifier after rounding to 8 bits, at most as many as
            were wanted.
        attempts: number of images it was tried on.
        fooled: number of these that fooled, kept or not.
        l2: float64 [N], Euclidean distance of each kept image to its clean one, in shares of the
            pixel range.
        linf: float64 [N], largest difference of a value, in the same unit.
        seconds: time the attempts took on one thread, whichever run made them; without training a
            substitute.
        agreement: for ``black_box``, share of the attempts' clean images on which the substitute
            gives the classifier's label.
        queries: for ``black_box``, number of labels the substitute asked the classifier for.
    """

    samples: SampleSet
    attempts: int
    fooled: int
    l2: NDArray[np.float64]
    linf: NDArray[np.float64]
    seconds: float
    agreement: float | None = None
    queries: int | None = None


def collect(
    model_path: Path,
    attack: AttackSettings,
    images: ImageData,
    sources: NDArray[np.int64],
    seed: int,
    workspace: Workspace,
    report: Reporter,
    jobs: int,
    seeds: NDArray[np.uint8] | None = None,
    cluster: RayCluster | None = None,
) -> Collected:
    """Attack images in their order, a chunk at a time, until enough fool or none is left.

    Every chunk is kept in the workspace when it is done. The outcome does not depend on ``jobs``.

    Args:
        model_path: the classifier's ``.safetensors`` file.
        attack: method, settings, number of images wanted and number of images to try at most.
        images: clean images that the classifier labels rightly.
        sources: int64 [N], their positions in the test split.
        seed: seed of all that is drawn, not negative.
        workspace: workspace that keeps chunks and the substitute.
        report: reporter that is told how many of the wanted images there are.
        jobs: number of processes at a time; 1 works in this one. The others are spawned, so a
            script that calls this needs its ``if __name__ == "__main__"``.
        seeds: for ``black_box``, clean images uint8 [M, H, W, C] that a substitute starts from;
            none of ``images``.
        cluster: cluster that makes the chunks; None makes them on this machine.

    Raises:
        DataError: the classifier labels an image wrongly; ``black_box`` has too few ``seeds``; or
            the adversarial-robustness-toolbox is not installed.
        ModelError: the classifier cannot be read.
    """
    if len(sources) != len(images):
        raise DataError(f"there are {len(images)} images and {len(sources)} sources; give one each")
    trained = None
    if isinstance(attack, BlackBox):
        if seeds is None:
            raise DataError(f"{attack.name} trains a substitute; give it clean images to start from")
        report.step(f"{attack.name}: a substitute from {attack.substitute.seeds} images")
        trained = KeptSubstitute.train(model_path, attack.substitute, seeds, seed, workspace)
    count = min(attack.attempts, len(images))
    model_digest = file_digest(model_path)
    chunks = [
        Chunk(
            number,
            model_path,
            model_digest,
            attack,
            images.images[start : min(start + SIZE, count)],
            images.labels[start : min(start + SIZE, count)],
            seed,
            workspace.path,
            None if trained is None else trained.weights,
        )
        for number, start in enumerate(range(0, count, SIZE))
    ]
    report.step(f"{attack.name}: up to {count:,} attempts for {attack.samples:,} images that fool")
    results: list[Arrays] = []
    found = attempts = 0
    made = _in_order(chunks, jobs, cluster)
    for chunk, result in zip(chunks, made, strict=True):
        results.append(result)
        found += int(result["fooled"].sum())
        attempts += len(chunk)
        report.progress(min(found, attack.samples), attack.samples, f"{attack.name}, {attempts:,} attempts")
        if found >= attack.samples:
            break
    made.close()
    return _collected(attack, images, sources, results, trained)


def _in_order(chunks: list[Chunk], jobs: int, cluster: RayCluster | None) -> Generator[Arrays]:
    """Yield the results of the chunks, in order.

    From the first chunk that is not kept, several of those not kept are made at a time: ``jobs``, or
    as many as the cluster takes.
    """
    missing = deque(chunk for chunk in chunks if not chunk.kept)
    running: dict[int, Future[Arrays]] = {}
    with ExitStack() as stack:
        pool: Executor | None = None
        make: tuple[Any, ...] = (Chunk.result,)
        for chunk in chunks:
            if missing and missing[0].number <= chunk.number and pool is None:
                if cluster is not None:
                    pool = stack.enter_context(cluster.executor())
                    make = (Chunk.made_from, cluster.put(chunk.model.read_bytes()))
                elif jobs > 1:
                    pool = stack.enter_context(ProcessPoolExecutor(jobs, mp_context=get_context("spawn")))
            while pool is not None and missing and len(running) < (cluster.jobs if cluster else jobs):
                following = missing.popleft()
                running[following.number] = pool.submit(make[0], following, *make[1:])
            future = running.pop(chunk.number, None)
            if future is None or cluster is not None:
                yield chunk.result(None if future is None else future.result)
            else:
                yield future.result()


def _collected(
    attack: AttackSettings,
    images: ImageData,
    sources: NDArray[np.int64],
    results: list[Arrays],
    substitute: KeptSubstitute | None,
) -> Collected:
    made, fooled = (np.concatenate([result[key] for result in results]) for key in ("images", "fooled"))
    kept = np.flatnonzero(fooled)[: attack.samples]
    samples = SampleSet(attack.name, made[kept], images.labels[kept], sources[kept])
    moved = np.abs(samples.images.astype(np.float64) - images.images[kept]) / 255
    return Collected(
        samples,
        attempts=len(fooled),
        fooled=int(fooled.sum()),
        l2=np.sqrt((moved**2).sum(axis=(1, 2, 3))),
        linf=moved.max(axis=(1, 2, 3), initial=0),
        seconds=float(sum(result["seconds"][0] for result in results)),
        agreement=None if substitute is None else substitute.agreement(images.images[: len(fooled)]),
        queries=None if substitute is None else substitute.queries,
    )
