"""Tasks in this process and in processes of their own."""

import os
from collections.abc import Callable

import pytest

from mutant_guard.errors import GuardError, ModelError
from mutant_store.retraining.job import Job
from mutant_store.retraining.processes import Tell, TrainingProcesses

pytestmark = pytest.mark.slow


def note(job: Job, number: int, tell: Tell) -> None:
    (job.folder / f"{number}").write_text(str(os.getpid()))
    tell(number * 10)


def refuse(job: Job, number: int, tell: Tell) -> None:
    raise ModelError(f"number {number} cannot be done")


def vanish(job: Job, number: int, tell: Tell) -> None:
    os._exit(3)


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_number_is_done_and_heard_of(jobs: int, make_job: Callable[..., Job]) -> None:
    job = make_job(made=False)
    heard: list[int] = []
    with TrainingProcesses(job, jobs) as workers:
        done = list(workers.run(note, [1, 2, 3], heard.append))
        done += list(workers.run(note, [4], heard.append))
    assert sorted(done) == [1, 2, 3, 4]
    assert sorted(heard) == [10, 20, 30, 40]
    processes = {(job.folder / str(number)).read_text() for number in (1, 2, 3, 4)}
    assert (str(os.getpid()) in processes) == (jobs == 1)
    assert len(processes) <= jobs


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_a_task_is_raised(jobs: int, make_job: Callable[..., Job]) -> None:
    with (
        pytest.raises(ModelError, match="cannot be done"),
        TrainingProcesses(make_job(made=False), jobs) as workers,
    ):
        list(workers.run(refuse, [1, 2], lambda _: None))


def test_a_process_that_ends_is_said(make_job: Callable[..., Job]) -> None:
    with (
        pytest.raises(GuardError, match=r"ended with code 3; .* with --jobs 1"),
        TrainingProcesses(make_job(made=False), 2) as workers,
    ):
        list(workers.run(vanish, [1, 2], lambda _: None))
