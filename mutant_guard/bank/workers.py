"""The threads that mutants run on: one pool a process, however many stores there are. Light: the server imports it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from mutant_guard.bank.cores import available_cores

WORTH_A_THREAD = 500e-6
"""Seconds of work from which on another thread pays; below, threads wait for Python's lock and each other."""


class Workers:
    """Runs parts of a batch side by side, the first of them in the thread that asks.

    Sessions of onnxruntime have one thread each and rows are shared out here instead: rows are independent, so nothing
    waits within a layer, and a thread without work sleeps. onnxruntime's own pool for all sessions of a process cannot
    be told not to spin from Python, and burns a core while the server is idle.
    """

    def __init__(self, threads: int = 0) -> None:
        """``threads`` in all, the asking one included; 0 takes the cores this process may use."""
        self.threads = max(1, threads or available_cores())
        self._pool = ThreadPoolExecutor(max(1, self.threads - 1), thread_name_prefix="mutants")

    def worth(self, seconds: float) -> int:
        """How many threads to share so many seconds of work among."""
        return max(1, min(self.threads, int(seconds / WORTH_A_THREAD)))

    def run(self, parts: Sequence[Callable[[], None]]) -> None:
        """Run all parts and return when every one has ended.

        Raises:
            Exception: what the first part that failed raised.
        """
        first, *others = parts
        started = [self._pool.submit(part) for part in others]
        try:
            first()
        finally:
            for future in started:
                future.exception()  # no part may still write when the caller goes on
        for future in started:
            future.result()

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown()
