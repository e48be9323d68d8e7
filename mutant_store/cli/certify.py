"""Command ``mutant-store certify``: the share of images that are proved."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mutant_store.cli.console import BuildReport, Memory, errors_shown
from mutant_store.cli.versions import StoreArgument

if TYPE_CHECKING:
    from mutant_guard.store.calibration_record import RateEstimate
    from mutant_store.certifying.certify import Certification

app = typer.Typer()


@app.command()
def certify(
    store: StoreArgument,
    data: Annotated[str, typer.Option(metavar="SPEC", help="Labelled images, a SPEC as for build.")],
    epsilon: Annotated[
        list[float],
        typer.Option(
            min=0.0,
            max=0.5,
            help="Largest change of a pixel, in units of the pixel range 0 to 1; may be given several times.",
        ),
    ],
    policy: Annotated[str, typer.Option(help="Policy of the store whose verdict is proved.")] = "calibrated",
    json: Annotated[bool, typer.Option("--json", help="Print the shares as JSON.")] = False,
    memory: Memory = None,
) -> None:
    """Prove for labelled images that no change within epsilon is cleared under a wrong label.

    An image is proved where no image that differs from it by at most epsilon in every pixel can be
    cleared (verdict normal) under another label than the true one, whatever the classifier says.
    Only a store with certified mutants (build --certified) proves anything.
    """
    from mutant_store.certifying.certify import certify as run

    with errors_shown():
        with BuildReport() as report:
            found = run(store, data, epsilon, report, policy=policy)
        if json:
            typer.echo(found.model_dump_json())
            return
        console = Console()
        for note in found.notes:
            console.print(f"[bold]note:[/] {escape(note)}", highlight=False, soft_wrap=True)
        console.print(_table(found))
        if found.obstacle is not None:
            console.print(f"nothing is proved: {escape(found.obstacle)}", highlight=False, soft_wrap=True)


def _table(found: "Certification") -> Table:
    """Return a table of the proved shares, with 95 % intervals."""
    table = Table(
        title=f"{escape(found.store)}, policy {found.policy}: {found.images:,} images, {found.right:,} labelled "
        "rightly; share that no change within ε clears under a wrong label (95 % intervals)",
        title_justify="left",
    )
    for column in ("ε", "proved", "of the rightly labelled"):
        table.add_column(column, justify="right")
    for share in found.shares:
        table.add_row(f"{share.epsilon:g}", *map(_shown, (share.proved, share.proved_right)))
    return table


def _shown(rate: "RateEstimate | None") -> str:
    return "–" if rate is None else f"{rate.rate:.1%} ({100 * rate.low:.1f}–{100 * rate.high:.1f})"
