"""``mutant-store``: build, inspect, verify and export mutant stores."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mutant_store.build_cli import app as build_app
from mutant_store.calibration_cli import app as calibration_app
from mutant_store.console import calibration_table, errors_shown, estimates_table, manifest_table
from mutant_store.versions_cli import StoreArgument
from mutant_store.versions_cli import app as versions_app

app = typer.Typer(
    help="Make, check and export the mutant stores that mutant-guard serves.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(build_app)
app.add_typer(calibration_app)
app.add_typer(versions_app)


@app.command()
def inspect(
    store: StoreArgument,
    version: Annotated[str | None, typer.Option(help="Version to look at. Default: the current one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print manifest and calibration as JSON.")] = False,
) -> None:
    """Show what a store holds: model, mutants, data parts, policies and their certified rates."""
    from mutant_store.housekeeping import find_version
    from mutant_store.reader import open_store

    with errors_shown():
        opened = open_store(store, find_version(store, version) if version else None)
        if json:
            typer.echo(
                f'{{"version": "{opened.version}", "manifest": {opened.manifest.model_dump_json()}, '
                f'"calibration": {opened.calibration.model_dump_json()}}}'
            )
            return
        console = Console()
        for table in (manifest_table(opened), calibration_table(opened), estimates_table(opened)):
            console.print(table)


@app.command()
def verify(
    store: StoreArgument,
    mutants: Annotated[
        int, typer.Option(min=1, help="How many mutants to compare with their stand-alone models.")
    ] = 16,
    require_signature: Annotated[
        Path | None, typer.Option(help="Public key in PEM that must have signed the store.")
    ] = None,
) -> None:
    """Check every file's hash, then hold the bank against stand-alone mutants on random images."""
    from mutant_store.check import check_store
    from mutant_store.signature import load_public_key

    with errors_shown():
        key = load_public_key(require_signature) if require_signature else None
        opened, compared, worst = check_store(store, mutants, signed_by=key)
        typer.echo(
            f"{store} version {opened.version}: {len(opened.manifest.files)} files as published, "
            f"{compared} mutants and the original agree with the bank (largest difference {worst:.1e})"
        )


@app.command()
def export(
    store: StoreArgument,
    mutant: Annotated[int, typer.Option(min=0, help="Number of the mutant; 0 is the original.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the ONNX file.")],
) -> None:
    """Write one mutant as a plain ONNX classifier with the original's input and output names."""
    from mutant_store.atomic import write_atomically
    from mutant_store.export import open_mutants
    from mutant_store.reader import open_store

    with errors_shown():
        model = open_mutants(open_store(store)).model(mutant)
        write_atomically(output, model.SerializeToString(deterministic=True))
        typer.echo(f"wrote {output}")
