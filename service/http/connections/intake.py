"""Arrival of a request's body, as its connection tells the application."""

from collections.abc import Callable

from starlette.types import Scope

INTAKE = "guard.intake"
"""Key of the ``Intake`` of a request in its scope; absent where another server took the request."""


class Intake:
    """Arrival of a request's body.

    Attributes:
        complete: whether all of it has arrived.
        give_up_another: gives up the request whose body has been coming longest, and says whether
            there was one; that one's application learns it as a client that is gone.
    """

    __slots__ = ("complete", "give_up_another")

    def __init__(self, give_up_another: Callable[[], bool]) -> None:
        """Start before the body."""
        self.complete, self.give_up_another = False, give_up_another


def body_is_coming(scope: Scope) -> bool:
    """Check whether a request's client is known to be still sending its body."""
    intake = scope.get(INTAKE)
    return intake is not None and not intake.complete
