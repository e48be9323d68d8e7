"""Fuzzing of a build's files in processes of their own, each of which may die."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from time import monotonic

from benchmarks.figures import Figure
from benchmarks.fuzz.tally import Tally

_ROOT = Path(__file__).parents[3]
_CHUNK = 200


def run(
    targets: Sequence[str],
    executions: int,
    *,
    seconds: float,
    jobs: int,
    seed: int,
    out: Path,
    say: Callable[[str], None],
) -> Tally:
    """Read so many changed files of each kind.

    Args:
        targets: names of the kinds.
        executions: number of files of each kind.
        seconds: time after which no more are begun.
        jobs: number of processes at a time.
        seed: seed of all that is drawn.
        out: folder for findings.
        say: callback that is told how far it is.

    Returns:
        Tally of all; a process that died is a fault of the file that it read.
    """
    end = monotonic() + seconds
    chunks = [
        (target, first, min(first + _CHUNK, executions))
        for first in range(0, executions, _CHUNK)
        for target in targets
    ]

    def one(chunk: tuple[str, int, int]) -> Tally:
        target, first, stop = chunk
        folder = out / f"{target}-{first}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tally.json").unlink(missing_ok=True)
        died = Tally()
        while first < stop and monotonic() < end:
            with (folder / "log").open("wb") as log:
                worker = [sys.executable, "-m", "benchmarks.fuzz.readers.worker"]
                done = subprocess.run(
                    [*worker, target, str(seed), str(first), str(stop), folder],
                    cwd=_ROOT,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            read = Tally.read(folder / "tally.json").executions + died.executions
            if done.returncode == 0:
                break
            died.executions += 1
            died.statuses[f"{target} died"] += 1
            current = folder / "current"
            died.blame(
                f"{target}: the process ended with {done.returncode}",
                current.read_bytes() if current.exists() else b"",
                out / "findings",
            )
            first = chunk[1] + read + 1
        found = Tally.read(folder / "tally.json") + died
        say(
            f"{target}: {found.executions:,} files from number {chunk[1]:,} on, {sum(found.faults.values())} faults"
        )
        return found

    out = out.resolve()
    with ThreadPoolExecutor(jobs) as executor:
        return reduce(Tally.__add__, executor.map(one, chunks), Tally())


def figures(tally: Tally, executions: int) -> list[Figure]:
    """Return the figures that are held to a target."""
    return [
        Figure("fuzzed_files", tally.executions, "", executions),
        Figure("fuzz_file_faults", sum(tally.faults.values()), "", 0, at_most=True),
    ]
