"""What a guard tells of its work to whoever wants to count or log it."""

from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.runtime.scheduling.batches import Run
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.store.reader import Store


class Observer:
    """Hears of every step and does nothing with it; override what you want to hear.

    Methods are called from the threads that do the work, so they must be quick and thread-safe.
    """

    def loaded(self, store: Store, policy: Policy) -> None:
        """A store version was loaded, under this policy, and is about to take images."""

    def decoded(self, seconds: float) -> None:
        """An image was decoded, hashed and ordered in so many seconds."""

    def looked_up(self, *, hit: bool) -> None:
        """The cache was asked for the judgement of an image."""

    def ran(self, run: Run) -> None:
        """A run of a bank has ended."""

    def decided(self, outcome: Outcome) -> None:
        """The test of an image has ended."""

    def note(self, event: str, **facts: object) -> None:
        """Something that happens seldom: a bank was put on a device, runs were measured, a store was replaced."""

    def failed(self, error: Exception) -> None:
        """An inference loop has failed; its store takes no more requests."""


SILENT = Observer()
"""Nobody."""
