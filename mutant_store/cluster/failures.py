"""Errors of tasks of a cluster, as the machine that gave the task raises them."""

from mutant_guard.errors import GuardError, one_line


def own_error(error: BaseException) -> BaseException:
    """Return what is to be raised for an error that Ray gives for a task.

    It is the task's own error, without the traceback that Ray adds to it, or a ``GuardError`` that
    says what became of a task that was lost.
    """
    from ray import exceptions

    if isinstance(error, exceptions.RayTaskError):
        cause = error.cause
        if isinstance(cause, ModuleNotFoundError):
            return GuardError(
                f"a node of the cluster has no module {cause.name}: install the same mutant-guard, with the same "
                "extras, on every node"
            )
        return own_error(cause) if isinstance(cause, Exception) else GuardError(one_line(error))
    if isinstance(error, exceptions.RayError):
        return GuardError(
            f"the cluster lost a task every time it ran ({type(error).__name__}: {one_line(error)}); where that is for "
            "want of memory, start its nodes with fewer CPUs; the same command goes on where it stopped"
        )
    return error
