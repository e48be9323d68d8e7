"""Start of the load client beside what it measures."""

import subprocess
import sys
from pathlib import Path

from benchmarks.load.plan import Plan
from benchmarks.load.report import Report

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 30.0


class LoadError(RuntimeError):
    """Error for a load client that failed, so that nothing was measured."""


class LoadProcess:
    """Load that runs by itself until it ends."""

    def __init__(self, plan: Plan) -> None:
        """Start the load of a plan."""
        self._seconds = plan.seconds + plan.grace + _START_SECONDS
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        if self._process.stdin is None:
            raise LoadError("the load client has no standard input")
        self._process.stdin.write(plan.json())
        self._process.stdin.close()
        self._process.stdin = None  # without this, communicate() would close it again

    @property
    def running(self) -> bool:
        """Whether the load has not ended yet."""
        return self._process.poll() is None

    def result(self) -> Report:
        """Wait for the end of the load and return its report.

        Raises:
            LoadError: the client failed, or did not end when it should have.
        """
        try:
            out, errors = self._process.communicate(timeout=self._seconds)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise LoadError(f"the load client did not end within {self._seconds:g} s") from error
        if self._process.returncode or errors:  # an event loop's callbacks fail on standard error alone
            raise LoadError(f"the load client failed: {errors.strip()[-2000:]}")
        return Report.from_json(out)

    def kill(self) -> None:
        """End the load at once; there is no result then."""
        self._process.kill()
        self._process.wait()


def run_load(plan: Plan) -> Report:
    """Carry out a plan in a process of its own and return its report.

    Raises:
        LoadError: the client failed.
    """
    return LoadProcess(plan).result()
