"""What the evaluation's commands share: one console, and errors of the user's shown without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from mutant_store.errors import GuardError

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def errors_shown() -> Iterator[None]:
    """Print a GuardError or a failing file operation to stderr and leave with exit status 1."""
    try:
        yield
    except (GuardError, OSError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/red] {error}", markup=True)
        raise typer.Exit(1) from error
