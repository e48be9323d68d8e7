"""Files that a build is given: a short run, and what a fault and a death of the process look like."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from benchmarks.fuzz.asks import drawing
from benchmarks.fuzz.readers import TARGETS, run, worker
from benchmarks.fuzz.readers.base import Target
from benchmarks.fuzz.tally import Tally
from mutant_guard.errors import DataError, GuardError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read_and_changed_ones_are_read_or_refused_in_a_line(name: str, tmp_path: Path) -> None:
    target, random = TARGETS[name], drawing(7)
    read = 0
    for number, seed in enumerate(target.seeds()):
        for content in (seed, target.mutated(seed, random), target.mutated(seed, random)):
            place = tmp_path / f"{number}-{len(list(tmp_path.iterdir()))}"
            place.mkdir()
            try:
                target.read(content, place)
            except GuardError as error:
                assert "\n" not in str(error)
            else:
                read += content is seed
    assert read >= len(target.seeds()) / 2


def test_changes_are_drawn_from_a_seed_alone() -> None:
    for target in TARGETS.values():
        seed = target.seeds()[0]
        one, same, other = (target.mutated(seed, drawing(number)) for number in (1, 1, 2))
        assert one == same != other


class Scripted(Target):
    """A kind of file whose reading goes as the file says."""

    name = "scripted"

    def seeds(self) -> list[bytes]:
        return [b"good", b"refused", b"lines", b"fault"]

    def mutated(self, content: bytes, random: Random) -> bytes:
        return content

    def read(self, content: bytes, folder: Path) -> None:
        if content == b"refused":
            raise DataError("no images; give some")
        if content == b"lines":
            raise DataError("no images\ngive some")
        if content == b"fault":
            raise KeyError("unexpected")


def test_what_is_no_refusal_in_one_line_is_a_fault_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scripted-0"
    folder.mkdir()
    monkeypatch.setitem(TARGETS, "scripted", Scripted())
    monkeypatch.setattr(sys, "argv", ["worker", "scripted", "1", "0", "40", str(folder)])
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    worker.main()
    tally = Tally.read(folder / "tally.json")
    assert tally.executions == 40
    assert set(tally.statuses) == {"scripted accepted", "scripted refused", "scripted fault"}
    assert set(tally.faults) == {
        "scripted: not one line: 'no images\\ngive some'",
        "scripted: KeyError elsewhere",
    }
    assert {Path(file).read_bytes() for file in tally.files.values()} == {b"lines", b"fault"}


def test_a_process_that_dies_is_a_fault_of_its_file_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call reads two files and dies of the third."""

    def dies(command: list[object], **_: object) -> "subprocess.CompletedProcess[bytes]":
        first, stop, folder = int(str(command[5])), int(str(command[6])), Path(str(command[7]))
        tally, left = Tally.read(folder / "tally.json"), min(2, stop - first)
        tally.executions += left
        tally.write(folder / "tally.json")
        (folder / "current").write_bytes(b"deadly")
        return subprocess.CompletedProcess([], -11 if first + left < stop else 0)

    monkeypatch.setattr(subprocess, "run", dies)
    said: list[str] = []
    tally = run.run(["npz"], 8, seconds=60, jobs=1, seed=1, out=tmp_path, say=said.append)
    assert tally.executions == 8
    assert dict(tally.faults) == {"npz: the process ended with -11": 2}
    assert Path(tally.files["npz: the process ended with -11"]).read_bytes() == b"deadly"
    assert said == ["npz: 8 files from number 0 on, 2 faults"]


@pytest.mark.slow
def test_a_short_run_says_what_it_came_to(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzz", "files", "--executions", "12", "--out", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    entries = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    figures = {entry["figure"]: entry for entry in entries}
    assert done.returncode == 0, done.stdout
    assert figures["fuzzed_files"]["value"] == 12 * len(TARGETS)
    assert figures["fuzz_file_faults"]["value"] == 0
