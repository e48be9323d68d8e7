"""Output that all commands share: steps, progress bars, and errors without a traceback."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from types import TracebackType
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mutant_guard.errors import GuardError
from mutant_store.reporter import lasting

_SECONDS_BETWEEN_LINES = 10.0


def finite(number: float | None) -> float | None:
    """Return an option's number; the callback of every option that is one.

    A range that is open at one end lets infinity through, and with some releases of typer any range
    lets NaN through.

    Raises:
        typer.BadParameter: the number is NaN or infinite.
    """
    if number is not None and not isfinite(number):
        raise typer.BadParameter(f"{number} is not a finite number")
    return number


def rate_of(text: str) -> float | None:
    """Return the mutation rate that the option --rate gives; None for ``auto``.

    Raises:
        typer.BadParameter: the text is neither auto nor a number above 0 and at most 1.
    """
    if text.strip().lower() == "auto":
        return None
    try:
        rate = float(text)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is neither auto nor a number") from error
    if not 0 < (finite(rate) or 0) <= 1:
        raise typer.BadParameter("the mutation rate must be above 0 and at most 1")
    return rate


def _limited(text: str | None) -> str | None:
    """Set the limit of this process's memory; the callback of the option --memory.

    Raises:
        typer.BadParameter: the text is no number of bytes, or one that is too small.
    """
    from pydantic import ByteSize, TypeAdapter, ValidationError

    from mutant_guard.bank.memory import LEAST_BYTES, set_limit

    if text is not None:
        try:
            size = int(TypeAdapter(ByteSize).validate_python(text))
        except (ValidationError, ValueError, OverflowError) as error:
            raise typer.BadParameter(
                f"'{text}' is no size of memory; give one such as 2GB or 500MB"
            ) from error
        if size < LEAST_BYTES:
            raise typer.BadParameter(f"{text} of memory is too little; give 16MiB or more")
        set_limit(size)
    return text


Memory = Annotated[
    str | None,
    typer.Option(
        callback=_limited,
        help="Memory that runs of networks may take, such as 2GB, beside the program, the weights and the images. "
        "Default: a quarter of what is free.",
    ),
]


@contextmanager
def errors_shown() -> Iterator[None]:
    """Print an error on one line and exit with status 1.

    These are errors that the caller can mend, file operations that failed, and a lack of memory.
    """
    try:
        yield
    except (GuardError, OSError, MemoryError) as error:
        text = (
            "there is not enough memory; give fewer images" if isinstance(error, MemoryError) else str(error)
        )
        shown = " ".join(text.encode(errors="backslashreplace").decode().split())
        Console(stderr=True).print(f"[bold red]error:[/] {escape(shown)}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from error


class BuildReport:
    """Reporter that prints steps as lines, and the progress of the current one.

    Progress is a bar on a terminal. Elsewhere it is a line from time to time, with the time left.
    Both go to standard error.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("    {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._begun: tuple[float, int] | None = None
        self._last_line = 0.0
        self._task: TaskID | None = None

    def __enter__(self) -> "BuildReport":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._task is not None:  # stopping a bar that never started prints an empty line
            self._bar.stop()

    def step(self, text: str) -> None:
        """Begin a new step, and print ``text`` as a line."""
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._begun, self._last_line = None, time.monotonic()
        self._console.print(f"  • {text}", markup=False, highlight=False, soft_wrap=True)
        sys.stderr.flush()

    def confirm(self, text: str) -> bool:
        """Ask whether to go on in spite of ``text``; without a terminal nobody can be asked, so False."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        self._bar.stop()
        return typer.confirm(f"{text}. Go on as it is?", err=True)

    def progress(self, done: int, total: int, note: str) -> None:
        """Show ``done`` of ``total``, with ``note`` as the description."""
        if not self._console.is_terminal:
            self._line(done, total, note)
            return
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task(note, total=total)
        self._bar.update(self._task, completed=done, total=total, description=note)

    def _line(self, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if self._begun is None:
            self._begun = now, done
        if now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        since, first = self._begun
        left = ""
        if first < done < total:
            left = f", {lasting((now - since) * (total - done) / (done - first))} left"
        self._console.print(
            f"    {done:,} of {total:,} {note}{left}", markup=False, highlight=False, soft_wrap=True
        )
        sys.stderr.flush()
