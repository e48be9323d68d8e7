"""Watch over the inference loops: a server whose loop is lost ends, and is started again."""

import os
import threading
from collections.abc import Callable
from typing import Self

import structlog

EXIT_STATUS = 70
"""Exit status of a server that a lost inference loop ended: EX_SOFTWARE of sysexits.h."""

_LOOK_SECONDS = 1.0
_LOOKS = 2
"""Looks in a row that must find the loop lost.

A process that was stopped for a while and goes on seems to hang at first.
"""


class Watchdog:
    """Thread that ends the server once an inference loop is lost, used as a context manager.

    Every supervisor starts again what has ended, and few of them what is merely not alive. The
    thread is not the event loop's, which a hanging run may hold.

    Attributes:
        tripped: whether the loop was found lost.
    """

    def __init__(self, lost: Callable[[], bool], stop: Callable[[], None], *, patience: float) -> None:
        """Make the watchdog, which the context starts.

        Args:
            lost: returns whether an inference loop has failed for good or hangs.
            stop: asks the server to end in order; called once.
            patience: seconds that the server may take to end; after them the process is ended.
        """
        self.tripped = False
        self._lost, self._stop, self._patience = lost, stop, patience
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread, unless it has tripped: what hangs may keep the process from ending."""
        if not self.tripped:
            self._over.set()

    def _watch(self) -> None:
        seen = 0
        while seen < _LOOKS:
            if self._over.wait(_LOOK_SECONDS):
                return
            seen = seen + 1 if self._lost() else 0
        self.tripped = True
        log = structlog.get_logger()
        log.error("an inference loop has failed or hangs; the server ends", exit_status=EXIT_STATUS)
        self._stop()
        self._over.wait(self._patience)
        log.error("the server does not end; the process is ended", exit_status=EXIT_STATUS)
        os._exit(EXIT_STATUS)
