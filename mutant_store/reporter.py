"""How long work says what it is doing."""

from typing import Protocol


class Reporter(Protocol):
    """Where a build says what it is doing."""

    def step(self, text: str) -> None:
        """A new step begins."""

    def progress(self, done: int, total: int, note: str) -> None:
        """How far the step is."""
