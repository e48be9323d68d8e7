"""Interface by which a guard reports its work, for counting or logging."""

from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.runtime.scheduling.batches import Run
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.store.reader import Store


class Observer:
    """Receiver of every step that does nothing with it; override the methods of interest.

    Methods are called from the threads that do the work, so they must be quick and thread-safe.
    """

    def loaded(self, store: Store, policy: Policy) -> None:
        """Handle that a store version was loaded under this policy, before it takes images."""

    def decoded(self, seconds: float) -> None:
        """Handle that an image was decoded, hashed and ordered in this many seconds."""

    def looked_up(self, *, hit: bool) -> None:
        """Handle that the cache was asked for the judgement of an image."""

    def ran(self, run: Run) -> None:
        """Handle that a run of a bank has ended."""

    def decided(self, outcome: Outcome) -> None:
        """Handle that the test of an image has ended."""

    def not_finite(self, store: Store, *, original: bool) -> None:
        """Handle that an image got scores that are NaN or infinite.

        They are the original's, or those of the mutant that came next.
        """

    def note(self, event: str, **facts: object) -> None:
        """Handle a rare event.

        Examples are a bank that was put on a device, runs that were measured, a store that was
        replaced.
        """

    def run_failed(self, error: Exception) -> None:
        """Handle that a run failed, and the requests in it; the inference loop goes on."""

    def failed(self, error: Exception) -> None:
        """Handle that an inference loop has failed; its store takes no more requests."""


SILENT = Observer()
"""Observer that ignores everything."""
