"""Interface by which long work reports its steps and its progress."""

from typing import Protocol


class Reporter(Protocol):
    """Receiver of the steps and of the progress of a long task."""

    def step(self, text: str) -> None:
        """Begin a new step; ``text`` says what it does."""

    def progress(self, done: int, total: int, note: str) -> None:
        """Report that ``done`` of ``total`` parts of the step are finished; ``note`` names them."""
