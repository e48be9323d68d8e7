"""What the commands show: steps, progress bars, tables, and errors without a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from mutant_store.errors import GuardError
from mutant_store.housekeeping import Garbage, Version
from mutant_store.manifest import RateEstimate
from mutant_store.reader import Store


@contextmanager
def errors_shown() -> Iterator[None]:
    """Print an error that is the caller's to mend, or a file operation that failed, on one line and exit 1."""
    try:
        yield
    except (GuardError, OSError) as error:
        Console(stderr=True).print(
            f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False
        )
        raise typer.Exit(1) from error


class BuildReport:
    """Steps as lines, progress of the current one as a bar, both on standard error."""

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
        self._task: TaskID | None = None

    def __enter__(self) -> "BuildReport":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._task is not None:  # stopping a bar that never started prints an empty line
            self._bar.stop()

    def step(self, text: str) -> None:
        """A new step begins."""
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._console.print(f"  • {text}", markup=False, highlight=False, soft_wrap=True)
        sys.stderr.flush()

    def progress(self, done: int, total: int, note: str) -> None:
        """How far the step is."""
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task(note, total=total)
        self._bar.update(self._task, completed=done, description=note)


def manifest_table(store: Store) -> Table:
    """What the store was built from."""
    m = store.manifest
    table = Table(title=f"{store.name}, version {store.version}", show_header=False, title_justify="left")
    size = f"{m.input.width}×{m.input.height}×{m.input.channels}"
    accuracies = f"{min(m.accuracies):.2%} to {max(m.accuracies):.2%}"
    rows = {
        "input": f"{size} {m.input.layout}, mean {m.input.mean}, std {m.input.std}, resize {m.input.resize}",
        "classes": f"{len(m.classes)}: {', '.join(m.classes[:10])}{' …' if len(m.classes) > 10 else ''}",
        "output": f"{m.output_name} ({m.output_kind})",
        "mutants": f"{m.mutants} by {m.operator} at rate {m.rate:g}, seed {m.seed}, {m.candidates_drawn} drawn",
        "neurons": f"{m.neurons} in {len(m.layers)} layers",
        "accuracy": f"original {m.original_accuracy:.2%}, mutants {accuracies} (at least {m.accuracy_ratio:.0%} of it)",
        "filter": m.data.filter.spec,
        "choice": m.data.choice.spec,
        "certification": m.data.certification.spec,
        "size": f"{sum(entry.size for entry in m.files.values()) / 1e6:.2f} MB",
        "built with": ", ".join(f"{name} {version}" for name, version in m.built_with.items()),
    }
    for name, value in rows.items():
        table.add_row(name, escape(value))
    return table


def calibration_table(store: Store) -> Table:
    """The hypotheses of every policy."""
    normal = store.calibration.normal_label_change_rate
    title = f"normal label change rate {normal.mean:.2%} ± {normal.half_width:.2%} ({normal.confidence:.0%})"
    table = Table(title=title, title_justify="left")
    table.add_column("policy", no_wrap=True)
    for column in ("normal p1", "adversarial p0", "alpha", "beta", "guaranteed", "settings"):
        table.add_column(column)
    for name, policy in store.calibration.policies.items():
        settings = ", ".join(f"{key} {value:g}" for key, value in policy.settings.items())
        holds = "yes" if policy.error_bounds else f"no: {policy.pool} mutants are too few"
        p1, p0 = f"{policy.p1:.4f}", f"{policy.p0:.4f}"
        table.add_row(name, p1, p0, f"{policy.alpha:g}", f"{policy.beta:g}", holds, settings)
    return table


def estimates_table(store: Store) -> Table:
    """What every policy did on the certification images."""
    table = Table(title="on certification images (95 % intervals)", title_justify="left")
    table.add_column("policy", no_wrap=True)
    for column in ("false alarms", "alarms, all clean", "undecided", "mean mutants", "99 %"):
        table.add_column(column)
    for name, policy in store.calibration.policies.items():
        rates = [_rate(value) for value in (policy.false_alarms, policy.alarms, policy.undecided)]
        table.add_row(name, *rates, f"{policy.mean_mutants:.1f}", f"{policy.p99_mutants:.0f}")
    return table


def versions_table(versions: list[Version]) -> Table:
    """Published versions, one a row."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for column in ("version", "published", "operator", "rate", "mutants", "size", "signed", ""):
        table.add_column(column, no_wrap=column != "operator", overflow="fold")
    for version in versions:
        m = version.manifest
        made = (escape(m.operator), f"{m.rate:g}", str(m.mutants)) if m else ("", "", "")
        states = ["[green]current[/]"] * version.current + ["[red]unusable[/]"] * (
            version.problem is not None
        )
        table.add_row(
            version.name,
            f"{datetime.fromtimestamp(version.published):%Y-%m-%d %H:%M}",
            *made,
            f"{version.size / 1e6:.1f} MB",
            "yes" if version.signed else "no",
            "\n".join(states),
        )
    return table


def garbage_lines(store: Path, garbage: list[Garbage], *, dry_run: bool) -> list[str]:
    """What was, or would be, removed from a store, and the sum of it."""
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {entry.path.relative_to(store)} ({entry.size:,} bytes)" for entry in garbage]
    freed = sum(entry.size for entry in garbage)
    return [*lines, f"{freed:,} bytes {'would be ' if dry_run else ''}freed"]


def _rate(value: RateEstimate) -> str:
    return f"{value.rate:.1%} ({value.low:.1%} to {value.high:.1%})"
