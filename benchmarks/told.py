"""Reporter of long work to a benchmark's console."""

import time
from collections.abc import Callable

_SECONDS = 60.0


class Told:
    """Reporter that passes on steps, and progress once a minute."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Keep the callback that is told what is going on."""
        self.step, self._last = say, time.monotonic()

    def progress(self, done: int, total: int, note: str) -> None:
        """Pass on progress unless some was passed on within the last minute."""
        if time.monotonic() - self._last >= _SECONDS:
            self._last = time.monotonic()
            self.step(f"{done:,} of {total:,} {note}")
