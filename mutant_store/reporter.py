"""Interface by which long work reports its steps and its progress."""

from typing import Protocol


class Reporter(Protocol):
    """Receiver of the steps and of the progress of a long task."""

    def step(self, text: str) -> None:
        """Begin a new step; ``text`` says what it does."""

    def progress(self, done: int, total: int, note: str) -> None:
        """Report that ``done`` of ``total`` parts of the step are finished; ``note`` names them."""


def lasting(seconds: float) -> str:
    """Return a duration as people say it, such as ``0.2 s``, ``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
