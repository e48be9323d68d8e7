"""Command ``mutant-guard review``: look through a server's review queue, and decide."""

import json as json_module
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mutant_guard.client import ClientError, GuardClient, ReviewEntry
from mutant_guard.client.calls import State
from mutant_guard.client.server import URL_VARIABLE, read_key
from service.cli.command import JsonOption, KeyFileOption, TrustEnvOption, refuse

review_app = typer.Typer(
    help="Look through a server's review queue, and decide about what is in it.", no_args_is_help=True
)

ServerOption = Annotated[
    str, typer.Option(envvar=URL_VARIABLE, help="URL of the server.", metavar="URL", show_default=False)
]
StoreOption = Annotated[str | None, typer.Option(help="Name of a store there.")]
EntryArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the entry, as the list shows it.")]
EntriesArgument = Annotated[
    list[str], typer.Argument(metavar="ID…", help="Ids of the entries, as the list shows them.")
]


@review_app.command(name="list")
def list_entries(
    server: ServerOption,
    state: Annotated[State, typer.Option(help="Which entries.")] = "open",
    store: StoreOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most entries shown.")] = 50,
    key_file: KeyFileOption = None,
    trust_env: TrustEnvOption = False,
    json: JsonOption = False,
) -> None:
    """Show entries, the newest first."""
    with _client(server, key_file, trust_env) as client:
        entries = list(islice(client.reviews(state, store), limit))
    if json:
        for entry in entries:
            typer.echo(json_module.dumps(entry.model_dump(mode="json")))
    else:
        Console().print(_table(entries) if entries else "no entries")


@review_app.command()
def confirm(
    entry: EntryArgument,
    server: ServerOption,
    label: Annotated[
        int | None, typer.Option(min=0, help="What the image truly shows; leave it out for an attack.")
    ] = None,
    key_file: KeyFileOption = None,
    trust_env: TrustEnvOption = False,
) -> None:
    """Say that an alarm was right."""
    _decide(_client(server, key_file, trust_env), [entry], "confirm", label)


@review_app.command()
def dismiss(
    entries: EntriesArgument,
    server: ServerOption,
    key_file: KeyFileOption = None,
    trust_env: TrustEnvOption = False,
) -> None:
    """Say of entries that they were false alarms: the classifier's label is right."""
    _decide(_client(server, key_file, trust_env), entries, "dismiss", None)


@review_app.command()
def delete(
    entries: EntriesArgument,
    server: ServerOption,
    key_file: KeyFileOption = None,
    trust_env: TrustEnvOption = False,
) -> None:
    """Delete entries for good, with their images and what was decided."""
    with _client(server, key_file, trust_env) as client:
        for identifier in entries:
            client.delete_review(identifier)
            typer.echo(f"{identifier} deleted")


@review_app.command()
def export(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The .npz to write.")],
    server: ServerOption,
    store: StoreOption = None,
    sampled: Annotated[
        bool,
        typer.Option(
            "--sampled", help="Export only entries that were drawn at random, whatever their verdict."
        ),
    ] = False,
    key_file: KeyFileOption = None,
    trust_env: TrustEnvOption = False,
) -> None:
    """Write the confirmed labels, with their images, for mutant-store calibrate --data npz:FILE."""
    with _client(server, key_file, trust_env) as client:
        try:
            client.export_reviews(file, store, sampled=sampled)
        except OSError as error:
            refuse(f"{file} cannot be written: {error.strerror}", error)
    Console(stderr=True).print(f"Written: {escape(str(file))}", soft_wrap=True, highlight=False)


def _decide(
    opened: AbstractContextManager[GuardClient],
    entries: list[str],
    decision: Literal["confirm", "dismiss"],
    label: int | None,
) -> None:
    with opened as client:
        for identifier in entries:
            found = client.decide(identifier, decision, label)
            shows = "" if found.true_class_name is None else f": it shows {found.true_class_name}"
            typer.echo(f"{found.id} {found.state}{shows}")


@contextmanager
def _client(server: str, key_file: Path | None, trust_env: bool) -> Iterator[GuardClient]:
    """Yield a client whose errors end the command in one line."""
    try:
        key = None if key_file is None else read_key(key_file)
        with GuardClient(server, key=key, trust_env=trust_env) as client:
            yield client
    except (ClientError, ValueError) as error:
        refuse(str(error), error)


def _table(entries: list[ReviewEntry]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("id", "at (UTC)", "store", "label", "verdict", "seen", "state", "truly"):
        table.add_column(column, no_wrap=column not in {"store", "label", "truly"}, overflow="fold")
    for entry in entries:
        suggested = entry.suggested_class_name
        table.add_row(
            entry.id,
            f"{entry.at.astimezone(UTC):%m-%d %H:%M}",
            escape(entry.store.name),
            escape(entry.class_name if suggested is None else f"{entry.class_name} → {suggested}"),
            entry.verdict,
            str(entry.seen),
            entry.state,
            escape(entry.true_class_name or ""),
        )
    return table
