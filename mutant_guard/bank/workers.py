"""Threads that mutants run on: one pool for each process, for any number of stores.

Its imports are light: the server loads it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from mutant_guard.bank.cores import available_cores

WORTH_A_THREAD = 500e-6
"""Seconds of work from which on another thread pays.

With less work, threads wait for Python's lock and for each other.
"""


class Workers:
    """Threads that run parts of a batch side by side; the first part runs in the calling thread.

    Rows are shared out here, and sessions of onnxruntime have one thread each, but for large graphs
    (see ``open_measured``). Rows are independent, so nothing waits within a layer, and a thread
    without work sleeps. onnxruntime's own pool for all sessions of a process would spin: Python
    cannot turn that off, and it would keep a core busy while the server is idle.
    """

    def __init__(self, threads: int = 0) -> None:
        """Make the threads.

        Args:
            threads: number of threads, the calling one included; 0 takes the cores this process may
                use.
        """
        self.threads = max(1, threads or available_cores())
        self._pool = ThreadPoolExecutor(max(1, self.threads - 1), thread_name_prefix="mutants")

    def worth(self, seconds: float) -> int:
        """Return the number of threads among which to share this many seconds of work."""
        return max(1, min(self.threads, int(seconds / WORTH_A_THREAD)))

    def run(self, parts: Sequence[Callable[[], None]]) -> None:
        """Run all parts and return when every one has ended.

        Raises:
            Exception: the error of the first part that failed.
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
        """Release the threads."""
        self._pool.shutdown()
