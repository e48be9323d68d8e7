"""Counts that fuzzing processes report, each and together."""

from pathlib import Path

from benchmarks.fuzz.plan import Plan
from benchmarks.fuzz.tally import Tally, keep


def test_a_fault_is_counted_and_kept_once(tmp_path: Path) -> None:
    tally = Tally()
    for data in (b"one", b"other"):
        tally.blame("fault", data, tmp_path / "findings")
    assert tally.faults == {"fault": 2}
    assert Path(tally.files["fault"]).read_bytes() == b"one"
    assert len(list((tmp_path / "findings").iterdir())) == 1


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "tally.json"
    assert Tally.read(path) == Tally()
    tally = Tally(executions=3, seconds=1.5, held=0.1, held_by="a", memory=7, pixels=64)
    tally.statuses["RAW 200"] += 2
    tally.blame("fault", b"one", tmp_path)
    tally.write(path)
    assert Tally.read(path) == tally


def test_together_they_have_the_sums_and_the_worst() -> None:
    one = Tally(executions=3, seconds=1.0, held=0.1, held_by="a", memory=7, pixels=64)
    other = Tally(executions=4, seconds=2.0, held=0.2, held_by="b", memory=5, pixels=63)
    one.statuses["RAW 200"] = other.statuses["RAW 200"] = 2
    other.faults["fault"], other.files["fault"] = 1, "file"
    both = one + other
    assert (both.executions, both.seconds, both.statuses["RAW 200"]) == (7, 3.0, 4)
    assert (both.held, both.held_by, both.memory, both.pixels) == (0.2, "b", 7, 64)
    assert (both.faults, both.files) == ({"fault": 1}, {"fault": "file"})


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = Plan([tmp_path / "a", tmp_path / "b"], 5, 1, tmp_path, max_pixels=9)
    assert Plan.read(plan.write()) == plan


def test_what_is_kept_is_named_by_its_content(tmp_path: Path) -> None:
    assert keep(b"one", tmp_path) == keep(b"one", tmp_path) != keep(b"two", tmp_path)
