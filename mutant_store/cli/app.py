"""Command ``mutant-store``: build, inspect, verify and export mutant stores."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mutant_store.cli.build import app as build_app
from mutant_store.cli.calibration import app as calibration_app
from mutant_store.cli.certify import app as certify_app
from mutant_store.cli.console import errors_shown
from mutant_store.cli.layers import app as layers_app
from mutant_store.cli.versions import StoreArgument
from mutant_store.cli.versions import app as versions_app

app = typer.Typer(
    help="Make, check and export the mutant stores that mutant-guard serves.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(build_app)
app.add_typer(layers_app)
app.add_typer(calibration_app)
app.add_typer(certify_app)
app.add_typer(versions_app)


@app.command()
def inspect(
    store: StoreArgument,
    version: Annotated[str | None, typer.Option(help="Version to look at. Default: the current one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print manifest and calibration as JSON.")] = False,
) -> None:
    """Show what a store holds: model, mutants, data parts, policies and their certified rates."""
    from mutant_guard.store.reader import load_store
    from mutant_store.cli.mutant_tables import mutant_tables
    from mutant_store.cli.tables import (
        calibration_table,
        estimates_table,
        manifest_table,
    )
    from mutant_store.publishing.housekeeping import find_version

    with errors_shown():
        opened = load_store(store, find_version(store, version) if version else None)
        if json:
            typer.echo(
                f'{{"version": "{opened.version}", "manifest": {opened.manifest.model_dump_json()}, '
                f'"calibration": {opened.calibration.model_dump_json()}}}'
            )
            return
        console = Console()
        tables = manifest_table(opened), calibration_table(opened), estimates_table(opened)
        for table in (*tables, *mutant_tables(opened)):
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
    """Check every file's hash, then compare the bank with stand-alone mutants on random images."""
    from mutant_guard.store.signature import load_public_key
    from mutant_store.publishing.check import check_store

    with errors_shown():
        key = load_public_key(require_signature) if require_signature else None
        found = check_store(store, mutants, signed_by=key)
        files = len(found.store.manifest.files)
        agree = (
            f"{found.compared} mutants and the original agree with the bank (largest difference {found.worst:.1e})"
            if found.compared is not None
            else "the bank runs; to compare mutants with stand-alone models, pip install 'mutant-guard[build]'"
        )
        typer.echo(f"{store} version {found.store.version}: {files} files as published, {agree}")


@app.command()
def export(
    store: StoreArgument,
    mutant: Annotated[int, typer.Option(min=0, help="Number of the mutant; 0 is the original.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the ONNX file.")],
) -> None:
    """Write one mutant as a plain ONNX classifier with the original's input and output names."""
    from mutant_guard.store.atomic import write_atomically
    from mutant_guard.store.reader import load_store
    from mutant_store.bank.export import open_mutants

    with errors_shown():
        model = open_mutants(load_store(store)).model(mutant)
        write_atomically(output, model.SerializeToString(deterministic=True))
        typer.echo(f"wrote {output}")
