"""Parts in processes of their own: none stops the others, and none outlives its time."""

import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import SKIPPED
from benchmarks.gpu import parts as module
from benchmarks.gpu.parts import Part, parts, run

SCRIPT = """
import os, pathlib, subprocess, sys, time
what, *options = sys.argv[1:]
if what == "hang":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    pathlib.Path(options[0]).write_text(str(child.pid))
    time.sleep(60)
elif what == "crash":
    os.abort()
sys.exit(int(what))
"""


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script in place of the parts."""
    monkeypatch.setattr(module, "_COMMAND", [sys.executable, "-c", SCRIPT])


def told(*commands: tuple[str, ...], seconds: float = 30, grace: float = 15) -> tuple[bool, list[str]]:
    """Return whether all went well, and how each part ended."""
    said: list[str] = []
    chosen = [Part(f"part{number}", command, 0.5) for number, command in enumerate(commands)]
    well = run(chosen, [], time.monotonic() + seconds, said.append, grace)
    return well, said[-1].split("; ")


def test_all_parts_are_run_and_said() -> None:
    well, ends = told(("0",), ("0",))
    assert well
    assert all(end.startswith(f"part{number}: done in ") for number, end in enumerate(ends))


def test_a_part_that_fails_or_crashes_does_not_stop_the_others() -> None:
    well, ends = told(("1",), ("crash",), ("0",))
    assert not well
    assert ends[0].startswith("part0: failed after ")
    assert ends[1] == "part1: failed: it was ended by signal 6"
    assert ends[2].startswith("part2: done in ")


def test_a_part_that_is_skipped_is_no_failure() -> None:
    assert told((str(SKIPPED),)) == (True, ["part0: skipped"])


def test_a_part_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    well, ends = told(("hang", str(file)), ("0",), seconds=0, grace=4)
    assert not well
    assert ends[0] == "part0: failed: it was not done after 5 s and was ended"
    assert ends[1].startswith("part1: done")
    status = Path(f"/proc/{file.read_text()}/stat")
    assert not status.exists() or status.read_text().split()[2] == "Z"


def test_the_training_comes_last_and_takes_what_is_left() -> None:
    found = parts(["lenet", "stores/own"], ["--piece-mib", "15"])
    assert [(part.name, part.command) for part in found] == [
        ("lenet", ("store", "lenet")),
        ("own", ("store", "stores/own")),
        ("googlenet", ("train", "--piece-mib", "15")),
    ]
    assert found[-1].share == 1
    assert parts([], None) == []
