"""Commands of ``mutant-store`` on published versions: list, choose, sign and remove them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mutant_store.cli.console import errors_shown

app = typer.Typer()

StoreArgument = Annotated[Path, typer.Argument(help="Directory of the store, the one that holds CURRENT.")]


@app.command()
def versions(store: StoreArgument) -> None:
    """List the published versions, the newest last, and check every file of each."""
    from mutant_store.cli.tables import versions_table
    from mutant_store.publishing.housekeeping import list_versions

    with errors_shown():
        found = list_versions(store)
        if found:
            Console().print(versions_table(found))
        else:
            typer.echo(f"{store} has no published version")
        for version in found:
            if version.problem is not None:
                typer.echo(f"{version.name}: {version.problem}")


@app.command()
def use(
    store: StoreArgument,
    version: Annotated[
        str, typer.Argument(help="The version to serve: its name, or the first 4 or more characters of it.")
    ],
) -> None:
    """Roll back, or forward: check a published version completely and make it the current one.

    Servers that start from now on serve it. A running server keeps its version until it is
    restarted.
    """
    from mutant_store.publishing.housekeeping import use_version

    with errors_shown():
        typer.echo(f"{store} now serves version {use_version(store, version).version}")


@app.command()
def collect_garbage(
    store: StoreArgument,
    keep: Annotated[
        int, typer.Option(min=0, help="How many versions to keep beside the current one, the newest usable.")
    ] = 1,
    unfinished: Annotated[
        bool,
        typer.Option("--unfinished", help="Remove a build that was not finished as well: it begins again."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove old or damaged versions, never the current one, and leftovers of killed commands."""
    from mutant_store.cli.tables import garbage_lines
    from mutant_store.publishing import housekeeping

    with errors_shown():
        garbage = housekeeping.collect_garbage(store, keep=keep, unfinished=unfinished, dry_run=dry_run)
        for line in garbage_lines(store, garbage, dry_run=dry_run):
            typer.echo(line)


@app.command()
def keygen(
    name: Annotated[str, typer.Argument(help="Where to write the key: NAME.key and NAME.pub.")],
) -> None:
    """Make an Ed25519 key: NAME.key signs stores and stays secret, servers check with NAME.pub."""
    from mutant_guard.errors import StoreError
    from mutant_guard.store.atomic import create
    from mutant_guard.store.signature import make_key

    with errors_shown():
        files = {Path(f"{name}.key"): 0o600, Path(f"{name}.pub"): 0o644}
        made: list[Path] = []
        try:
            for (path, mode), content in zip(files.items(), make_key(), strict=True):
                create(path, content, mode=mode)
                made.append(path)
        except OSError as error:
            for other in made:
                other.unlink()
            there = isinstance(error, FileExistsError)
            reason = "is there already" if there else f"cannot be written ({error.strerror})"
            raise StoreError(f"{path} {reason}; choose another NAME") from error
        typer.echo(f"wrote {' and '.join(map(str, files))}")


@app.command()
def sign(
    store: StoreArgument,
    key: Annotated[Path, typer.Option(help="The private key, NAME.key of mutant-store keygen.")],
    version: Annotated[str | None, typer.Option(help="Version to sign. Default: the current one.")] = None,
) -> None:
    """Check a published version completely and sign its manifest.

    The manifest holds the sha256 of every other file.
    """
    from mutant_guard.store.signature import load_private_key
    from mutant_store.publishing.housekeeping import sign_version

    with errors_shown():
        signed = sign_version(store, load_private_key(key), version)
        typer.echo(f"signed {store} version {signed.version}")
