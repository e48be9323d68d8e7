"""Tasks in processes of their own, with one torch thread each.

On few cores this is faster than one task with several threads.
"""

import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import torch

from mutant_guard.errors import GuardError
from mutant_store.retraining.job import TrainingJob
from mutant_store.threads import one_thread

J = TypeVar("J", bound=TrainingJob)
Tell = Callable[[Any], None]
Task = Callable[[J, int, Tell], None]
"""Function of a module that works on one number and keeps its results in the job's folder."""


class TrainingWorkers(ABC, Generic[J]):
    """Runner of a job's tasks, several at a time."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """End what still runs."""

    @abstractmethod
    def run(self, task: Task[J], numbers: list[int], heard: Tell) -> Iterator[int]:
        """Run a task for all numbers, and yield each number as it is finished, in any order.

        Args:
            task: task to run.
            numbers: numbers to run it for.
            heard: called with every message that the tasks send.

        Raises:
            GuardError: what runs a task ended before it.
            Exception: any error that a task raised.
        """

    def run_in_order(self, task: Task[J], numbers: list[int], heard: Tell) -> Iterator[int]:
        """Run a task for all numbers, and yield them in order, each as soon as that is possible.

        Arguments and errors are those of ``run``.
        """
        finished: set[int] = set()
        following = iter(numbers)
        expected = next(following, None)
        for number in self.run(task, numbers, heard):
            finished.add(number)
            while expected is not None and expected in finished:
                yield expected
                expected = next(following, None)


class TrainingProcesses(TrainingWorkers[J]):
    """Runner of a job's tasks in processes, ``jobs`` at a time.

    A single task, or a task on a GPU, runs in this process.
    """

    def __init__(self, job: J, jobs: int) -> None:
        """Prepare for a job; processes start when they are needed."""
        self._job = job
        self._wanted = jobs if job.device == "cpu" else 1
        self._processes: dict[Connection, BaseProcess] = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        for connection, process in self._processes.items():
            connection.close()  # an idle process takes this for the end
            if error is not None:
                process.terminate()
            process.join()

    def run(self, task: Task[J], numbers: list[int], heard: Tell) -> Iterator[int]:
        """Run a task for all numbers, as ``TrainingWorkers.run`` says.

        Raises:
            GuardError: a process ended before its task.
        """
        if self._wanted == 1 or (len(numbers) == 1 and not self._processes):
            for number in numbers:
                with one_thread():  # as in a process of its own: results depend on the number
                    task(self._job, number, heard)
                yield number
            return
        waiting = list(reversed(numbers))
        busy: dict[Connection, int] = {}
        idle = self._started(min(self._wanted, len(numbers)))
        while waiting or busy:
            while idle and waiting:
                connection = idle.pop()
                busy[connection] = waiting.pop()
                connection.send((task, busy[connection]))
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)  # noqa: S101 - wait is given nothing else
                kind, value = self._received(ready)
                if kind == "told":
                    heard(value)
                elif kind == "failed":
                    raise value
                else:
                    idle.append(ready)
                    yield busy.pop(ready)

    def _started(self, count: int) -> list[Connection]:
        context = multiprocessing.get_context("spawn")
        while len(self._processes) < count:
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(self._job, theirs), daemon=True)
            process.start()
            theirs.close()
            self._processes[mine] = process
        return list(self._processes)[:count]

    def _received(self, connection: Connection) -> tuple[str, Any]:
        try:
            kind, value = connection.recv()
        except (EOFError, ConnectionResetError):
            process = self._processes[connection]
            process.join()
            raise GuardError(
                f"a process that trains mutants ended with code {process.exitcode}; where that is for want of "
                "memory, run the same build with --jobs 1: it goes on where it stopped"
            ) from None
        return str(kind), value


def _serve(job: TrainingJob, connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which gets it too, ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with suppress(EOFError):
        while True:
            task, number = connection.recv()
            try:
                task(job, number, lambda told: connection.send(("told", told)))
            except Exception as error:  # any error: the parent raises it
                connection.send(("failed", error))
            else:
                connection.send(("done", number))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
