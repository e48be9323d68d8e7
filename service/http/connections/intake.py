"""Arrival of a request's body, as its connection tells the application."""

from starlette.types import Scope

INTAKE = "guard.intake"
"""Key of the ``Intake`` of a request in its scope; absent where another server took the request."""


class Intake:
    """Arrival of a request's body.

    Attributes:
        complete: whether all of it has arrived.
    """

    __slots__ = ("complete",)

    def __init__(self) -> None:
        """Start before the body."""
        self.complete = False


def body_is_coming(scope: Scope) -> bool:
    """Check whether a request's client is known to be still sending its body."""
    intake = scope.get(INTAKE)
    return intake is not None and not intake.complete
