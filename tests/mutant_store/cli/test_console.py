"""Steps and progress of long commands, with a terminal and without one; options that all share."""

import pytest
import typer

from mutant_guard.bank import memory
from mutant_store.cli import console
from mutant_store.cli.console import BuildReport, rate_of
from mutant_store.reporter import lasting


class Clock:
    """Clock that moves on as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("mutant_store.cli.console.time.monotonic", lambda: self.now)


def test_without_a_terminal_progress_is_a_line_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    with BuildReport() as report:
        report.step("drawing")
        for done, drawn in ((40, 90), (44, 95), (60, 140), (61, 141), (500, 999)):
            report.progress(done, 1500, f"kept, of {drawn} drawn")
            clock.now += 6
        report.step("recording")
        report.progress(0, 10, "images")
        clock.now += 60
        report.progress(0, 10, "images")
    assert capsys.readouterr().err.splitlines() == [
        "  • drawing",
        "    60 of 1,500 kept, of 140 drawn, 14 min left",
        "    500 of 1,500 kept, of 999 drawn, 52 s left",
        "  • recording",
        "    0 of 10 images",
    ]


def test_a_first_part_that_took_long_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    with BuildReport() as report:
        report.step("training")
        clock.now += 600
        report.progress(1, 7, "epochs")
        clock.now += 600
        report.progress(2, 7, "epochs")
    assert capsys.readouterr().err.splitlines()[1:] == ["    1 of 7 epochs", "    2 of 7 epochs, 50 min left"]


def test_on_a_terminal_progress_is_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with BuildReport() as report:
        report.step("drawing")
        report.progress(3, 10, "kept, of 5 drawn")
    shown = capsys.readouterr().err
    assert "kept, of 5 drawn" in shown
    assert "3/10" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (150, "2 min"), (5900, "98 min"), (9000, "2.5 h")],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


def test_a_rate_is_auto_or_a_share() -> None:
    assert rate_of("auto") is None
    assert (rate_of("0.05"), rate_of("1")) == (0.05, 1.0)
    for text, message in (
        ("0", "above 0"),
        ("1.5", "at most 1"),
        ("nan", "finite"),
        ("some", "neither auto"),
    ):
        with pytest.raises(typer.BadParameter, match=message):
            rate_of(text)


def test_memory_is_a_size() -> None:
    try:
        assert console._limited("2GB") == "2GB"
        assert memory.limit() == 2_000_000_000
        assert console._limited(None) is None
        assert memory.limit() == 2_000_000_000
        for text in ("much", "3", "1MB", "-2GB", "nan"):
            with pytest.raises(typer.BadParameter):
                console._limited(text)
        assert memory.limit() == 2_000_000_000
    finally:
        memory.set_limit(None)
