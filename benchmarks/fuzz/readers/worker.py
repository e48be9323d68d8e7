"""``python -m benchmarks.fuzz.readers.worker TARGET SEED FIRST STOP FOLDER``: files read one by one.

The file in hand lies in the folder, so that whoever started the process finds it if the process
dies of it.
"""

import faulthandler
import resource
import shutil
import sys
import traceback
import warnings
from pathlib import Path
from random import Random
from time import perf_counter

from benchmarks.fuzz.readers import TARGETS
from benchmarks.fuzz.tally import Tally
from mutant_guard.errors import GuardError

MOST_SECONDS = 60
_MOST_MEMORY = 12 << 30
_MOST_CHARACTERS = 2000
_MOST_CHANGES = 2


def main() -> None:
    """Read the files with the numbers from FIRST up to STOP, and tally what comes of each."""
    name, (seed, first, stop), folder = sys.argv[1], map(int, sys.argv[2:5]), Path(sys.argv[5])
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    target, tally = TARGETS[name], Tally.read(folder / "tally.json")
    seeds, place = target.seeds(), folder / "place"
    for number in range(first, stop):
        random = Random(f"{name} {seed} {number}")  # noqa: S311 - no secret
        content = random.choice(seeds)
        for _ in range(random.randint(1, _MOST_CHANGES)):
            content = target.mutated(content, random)
        (folder / "current").write_bytes(content)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
        began = perf_counter()
        fault, outcome = "", "accepted"
        try:
            target.read(content, place)
        except GuardError as error:
            outcome = "refused"
            if "\n" in str(error) or not 0 < len(str(error)) <= _MOST_CHARACTERS:
                fault = f"{name}: not one line: {str(error)[:60]!r}"
        except Exception as error:
            outcome, fault = "fault", f"{name}: {type(error).__name__} {_where(error)}"
        faulthandler.cancel_dump_traceback_later()
        tally.executions += 1
        tally.seconds += perf_counter() - began
        tally.statuses[f"{name} {outcome}"] += 1
        if fault:
            tally.blame(fault, content, folder.parent / "findings")
        tally.write(folder / "tally.json")
    shutil.rmtree(place, ignore_errors=True)


def _where(error: Exception) -> str:
    """Return the innermost line of this project that an error came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/mutant_" in frame.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "elsewhere"


if __name__ == "__main__":
    main()
