"""Tasks of a training on the nodes of a cluster.

Each works in a folder of its own, with links to what the job's folder held. What it leaves there
comes back, checkpoints after every epoch, so that a task that is lost goes on at its last epoch.
"""

import hashlib
import pickle
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import torch

from mutant_guard.errors import GuardError
from mutant_guard.store.atomic import write_atomically
from mutant_store.cluster.board import Board, Files
from mutant_store.cluster.node_folder import NodeFolder, SharedFile, content_of, digest_of
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.retraining.job import TrainingJob
from mutant_store.retraining.processes import Task, Tell, TrainingProcesses, TrainingWorkers

J = TypeVar("J", bound=TrainingJob)

_CHECKPOINT = ".checkpoint"
_SECONDS = 0.5
"""Time between looks at what tasks have told."""


def training_workers(job: J, jobs: int, cluster: RayCluster | None) -> TrainingWorkers[J]:
    """Return the runner of a job's tasks: on the cluster, or ``jobs`` at a time on this machine."""
    return TrainingProcesses(job, jobs) if cluster is None else TrainingTasks(job, cluster)


def training_device(cluster: RayCluster | None) -> str:
    """Return the device of trainings: what a cluster's tasks ask for, or what this machine has."""
    if cluster is not None:
        return "cuda" if cluster.gpus else "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


class TrainingTasks(TrainingWorkers[J]):
    """Runner of a job's tasks on a cluster."""

    def __init__(self, job: J, cluster: RayCluster) -> None:
        """Prepare for a job; nothing is sent yet."""
        self._job, self._cluster = job, cluster
        self._board = cluster.actor(Board)
        self._sent: dict[str, SharedFile] = {}
        self._running: dict[Any, int] = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._cluster.cancel(list(self._running))

    def run(self, task: Task[J], numbers: list[int], heard: Tell) -> Iterator[int]:
        """Run a task for all numbers, as ``TrainingWorkers.run`` says.

        Raises:
            GuardError: a task was lost every time that it ran, or what came back is not what it made.
        """
        cluster, waiting, files = self._cluster, deque(numbers), self._shared()
        while waiting or self._running:
            while waiting and len(self._running) < cluster.trainings:
                number = waiting.popleft()
                own = {path.name: path.read_bytes() for path in self._own(number)}
                cluster.result(self._board.keep.remote(number, own))
                arguments = (
                    cluster.token,
                    self._board,
                    replace(self._job, folder=Path()),
                    files,
                    task,
                    number,
                )
                self._running[cluster.start(_work, *arguments, gpus=cluster.gpus)] = number
            ended = cluster.ended(list(self._running), _SECONDS)
            for message, checkpoints in cluster.result(self._board.take.remote()):
                self._write(checkpoints)
                heard(pickle.loads(message))  # noqa: S301 - from a task, as all that Ray brings
            for reference in ended:
                made = cluster.result(reference)
                number = self._running.pop(reference)
                self._board.keep.remote(number, {})
                for name, (content, digest) in made.items():
                    if hashlib.sha256(content).hexdigest() != digest or Path(name).name != name:
                        raise GuardError(f"{name} came from the cluster damaged: run the same command again")
                self._write({name: content for name, (content, _) in made.items()})
                for path in self._own(number):
                    if path.suffix == _CHECKPOINT:
                        path.unlink()
                yield number

    def _shared(self) -> list[SharedFile]:
        """Return the files that tasks read, each put into the object store once."""
        for path in self._job.inputs():
            if path.name not in self._sent:
                content = self._cluster.put(content_of(path))
                self._sent[path.name] = SharedFile(path.name, digest_of(path), content)
        return list(self._sent.values())

    def _own(self, number: int) -> list[Path]:
        """Return what the job's folder has of a number: its checkpoint, or what it made."""
        shared = self._sent.keys()
        return [path for path in self._job.folder.glob(f"*-{number:04}.*") if path.name not in shared]

    def _write(self, files: Files) -> None:
        for name, content in files.items():
            write_atomically(self._job.folder / name, content)


def _work(
    token: str, board: Any, job: J, files: Sequence[SharedFile], task: Task[J], number: int
) -> dict[str, tuple[bytes, str]]:
    """Run a task on a node, on one thread.

    Returns:
        Content and SHA-256 of the files that it made, by name.
    """
    import ray

    torch.set_num_threads(1)
    node = NodeFolder(token)
    with node.for_task(files) as folder:
        for name, content in ray.get(board.files.remote(number)).items():
            write_atomically(folder / name, content)

        def tell(message: Any) -> None:
            node.seen()
            ray.get(board.tell.remote(number, pickle.dumps(message), _read(folder.glob(f"*{_CHECKPOINT}"))))

        task(replace(job, folder=folder), number, tell)
        made = _read(
            path for path in folder.iterdir() if not path.is_symlink() and path.suffix != _CHECKPOINT
        )
    return {name: (content, hashlib.sha256(content).hexdigest()) for name, content in made.items()}


def _read(paths: Iterator[Path]) -> Files:
    return {path.name: path.read_bytes() for path in paths}
