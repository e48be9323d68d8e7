"""Errors of the check on a GPU."""

from mutant_guard.errors import GuardError


class SkippedError(GuardError):
    """Error for a part that cannot be measured here, which is no failure."""
