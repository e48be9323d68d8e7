"""Errors of tasks as the machine that gave them raises them."""

import pytest
from ray import exceptions

from mutant_guard.errors import GuardError, ModelError
from mutant_store.cluster.failures import own_error


def of_task(cause: Exception) -> exceptions.RayTaskError:
    return exceptions.RayTaskError("task", "a long traceback", cause)  # type: ignore[no-untyped-call]


def test_a_tasks_own_error_is_raised_as_it_is() -> None:
    error = ModelError("training diverged")
    assert own_error(of_task(error)) is error
    assert own_error(error) is error


def test_a_missing_module_is_said_with_the_remedy() -> None:
    found = own_error(of_task(ModuleNotFoundError("no", name="foolbox")))
    assert isinstance(found, GuardError)
    assert "has no module foolbox: install the same mutant-guard" in str(found)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_lost_task_is_said_in_one_line(wrapped: bool) -> None:
    lost = exceptions.WorkerCrashedError()
    found = own_error(of_task(lost) if wrapped else lost)
    assert isinstance(found, GuardError)
    assert "lost a task every time it ran (WorkerCrashedError: " in str(found)
    assert len(str(found).splitlines()) == 1
