"""Parts of the check, run one after the other in processes of their own within a time.

A process that crashes, hangs or runs out of memory ends its own part only.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu import SKIPPED

TRAINING = "googlenet"
STORES = ("lenet", "resnet20", "lite0")

_SHARES = {"lenet": 0.12, "resnet20": 0.2, "lite0": 0.25, TRAINING: 1.0}
"""Share of the time left that a part may take; what it leaves is for those behind it."""
_SHARE = 0.2
_COMMAND = [sys.executable, "-u", "-m", "benchmarks.gpu"]
_GRACE = 15.0
"""Seconds after its time at which a part is ended."""


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        name: name that people call it by.
        command: arguments of ``python -m benchmarks.gpu``.
        share: share of the time left that it may take.
    """

    name: str
    command: tuple[str, ...]
    share: float


def parts(stores: Sequence[str], training: Sequence[str] | None) -> list[Part]:
    """Return the parts of some stores, and of the training last, which takes the time that is left.

    Args:
        stores: names in ``STORES``, or directories of stores.
        training: options of the training; None for no training.
    """
    found = [Part(Path(name).name, ("store", name), _SHARES.get(name, _SHARE)) for name in stores]
    if training is not None:
        found.append(Part(TRAINING, ("train", *training), _SHARES[TRAINING]))
    return found


def run(
    chosen: Sequence[Part],
    options: Sequence[str],
    until: float,
    say: Callable[[str], None],
    grace: float = _GRACE,
) -> bool:
    """Run parts one after the other, and return whether none failed.

    Args:
        chosen: the parts.
        options: options of all of them.
        until: time, by the monotonic clock, at which the last ends.
        say: callback that is told how each part ends.
        grace: seconds after its time at which a part is ended.
    """
    ended = {}
    for part in chosen:
        seconds = max(1.0, part.share * (until - time.monotonic()))
        say(f"{part.name}: {seconds:.0f} s at most")
        ended[part.name] = _run(part, [*options, "--seconds", f"{seconds:.1f}"], seconds + grace)
        say(f"{part.name}: {ended[part.name]}")
    say("; ".join(f"{name}: {how}" for name, how in ended.items()))
    return not any(how.startswith("failed") for how in ended.values())


def _run(part: Part, options: Sequence[str], limit: float) -> str:
    """Return how a part ended."""
    started = time.monotonic()
    process = subprocess.Popen([*_COMMAND, *part.command, *options], start_new_session=True)
    # it is ended with the builds that it started
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        return f"failed: it was not done after {limit:.0f} s and was ended"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if status < 0:
        return f"failed: it was ended by signal {-status}"
    taken = f"{time.monotonic() - started:.0f} s"
    return {0: f"done in {taken}", SKIPPED: "skipped"}.get(status, f"failed after {taken}")
