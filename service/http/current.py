"""Access to the guard that an application serves."""

from fastapi import Request

from service.guard_service import GuardService


def service_of(request: Request) -> GuardService:
    """Return the guard that an application serves.

    Raises:
        TypeError: the application was started without a guard.
    """
    guard = request.app.state.guard
    if not isinstance(guard, GuardService):
        raise TypeError("the application was started without a guard")
    return guard
