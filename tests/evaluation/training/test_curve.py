"""Training curves."""

from pathlib import Path

import pytest

from evaluation.training.curve import Point, TrainingCurve

HEADER = "epoch,loss,accuracy,holdout,seconds"


def point(epoch: int, holdout: float | None = 0.5) -> Point:
    return Point(epoch, 1 / epoch, 0.25, holdout, 2.0)


def rows(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_every_epoch_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "m.curve.csv"
    curve = TrainingCurve(path, 0)
    assert not path.exists()
    curve.append(point(1))
    assert rows(path) == [HEADER, "1,1,0.25,0.5,2"]
    curve.append(point(2, holdout=None))
    assert rows(path) == [HEADER, "1,1,0.25,0.5,2", "2,0.5,0.25,,2"]


@pytest.mark.parametrize("finished", range(4))
def test_rows_beyond_the_checkpoint_are_trained_again(tmp_path: Path, finished: int) -> None:
    path = tmp_path / "m.curve.csv"
    first = TrainingCurve(path, 0)
    for epoch in (1, 2, 3):
        first.append(point(epoch))
    before = rows(path)
    TrainingCurve(path, finished).append(point(finished + 1, holdout=0.75))
    assert rows(path)[: finished + 1] == before[: finished + 1]
    assert [row.split(",")[3] for row in rows(path)[finished + 1 :]] == ["0.75"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"notes\n1,2\n", b"epoch,loss\n1,2\n"])
def test_what_is_no_curve_counts_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.curve.csv"
    path.write_bytes(content)
    TrainingCurve(path, 5).append(point(6))
    assert [row.split(",")[0] for row in rows(path)] == ["epoch", "6"]
