"""Lock among processes that write to one file."""

import fcntl
import time

_PATIENCE_SECONDS = 0.025


class SharedLock:
    """Lock among processes used as a context manager, that is waited for 25 ms at most.

    The context says whether it could be had.
    """

    def __init__(self, descriptor: int) -> None:
        """Use the file of a descriptor, which every process has inherited."""
        self._descriptor = descriptor
        self._crowded = False

    def __enter__(self) -> bool:
        """Wait for the lock; not at all after it could not be had, until it can be again."""
        until = time.monotonic() + (0.0 if self._crowded else _PATIENCE_SECONDS)
        while True:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= until:
                    self._crowded = True
                    return False
                time.sleep(0.001)
            else:
                self._crowded = False
                return True

    def __exit__(self, *_: object) -> None:
        """Let the lock go."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
