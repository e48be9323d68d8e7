"""Seconds add up over the runs of an experiment."""

import json
from pathlib import Path

import pytest

from evaluation.experiment.material.clock import Clock


class _Time:
    """Stands for the clock of the machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)

    def spend(self, clock: Clock, step: str, seconds: float) -> None:
        with clock.measured(step):
            self.now += seconds


def test_runs_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, time = tmp_path / "work" / "seconds.json", _Time(monkeypatch)
    first = Clock(path)
    assert first.seconds == {}
    time.spend(first, "attacks", 10)
    time.spend(first, "server", 1.26)
    time.spend(first, "attacks", 2)
    assert first.seconds == {"attacks": 12.0, "server": 1.3}
    assert json.loads(path.read_bytes()) == first.seconds
    second = Clock(path)
    assert second.seconds == first.seconds
    time.spend(second, "attacks", 0.5)
    assert second.seconds == Clock(path).seconds == {"attacks": 12.5, "server": 1.3}


def test_what_was_interrupted_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, time = tmp_path / "seconds.json", _Time(monkeypatch)
    clock = Clock(path)
    with pytest.raises(KeyboardInterrupt), clock.measured("attacks"):
        time.now += 7
        raise KeyboardInterrupt
    assert Clock(path).seconds == {"attacks": 7.0}


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "seconds.json"
    path.write_bytes(b"{")
    clock = Clock(path)
    assert clock.seconds == {}
    with clock.measured("attacks"):
        pass
    assert list(Clock(path).seconds) == ["attacks"]
