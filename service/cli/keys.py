"""Command ``mutant-guard keys``: make, list and revoke API keys."""

import json as json_module
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mutant_guard.errors import GuardError
from service.keys import key_file
from service.keys.api_keys import ApiKey, Detail, KeyFile, Role, first_fault, make_key

_MAY = {
    Role.CLIENT: "classify",
    Role.REVIEWER: "classify and review",
    Role.ADMIN: "use the admin routes",
}

keys_app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

FileOption = Annotated[
    Path,
    typer.Option(
        "--file",
        envvar="GUARD_API_KEYS_FILE",
        dir_okay=False,
        help="File of API keys, which holds the SHA-256 of each and no key.",
    ),
]
NameArgument = Annotated[
    str, typer.Argument(help="Whose key it is: letters, digits, dots, dashes and underscores.")
]


@keys_app.command()
def create(
    name: NameArgument,
    file: FileOption,
    admin: Annotated[
        bool, typer.Option("--admin", help="For the admin routes alone; it may not classify.")
    ] = False,
    reviewer: Annotated[
        bool, typer.Option("--reviewer", help="May classify, and decide about the review queue.")
    ] = False,
    response_detail: Annotated[
        Detail, typer.Option(help="What answers tell: verdict leaves out scores and the path of the test.")
    ] = Detail.FULL,
    requests_per_second: Annotated[
        float | None,
        typer.Option(
            help="Requests a second it may keep up, over all servers that share a Redis, else of each. Default: any."
        ),
    ] = None,
    burst: Annotated[
        int | None, typer.Option(help="Requests it may send at once. Default: one second's worth.")
    ] = None,
) -> None:
    """Make a key and print it, this once: the file holds only its SHA-256.

    The file is made if there is none.
    """
    if admin and reviewer:
        raise typer.BadParameter("a key is an admin's, who may review anyway, or a reviewer's; leave one out")
    role = Role.ADMIN if admin else Role.REVIEWER if reviewer else Role.CLIENT
    secret, digest = make_key()
    try:
        key = ApiKey(
            name=name,
            sha256=digest,
            role=role,
            response_detail=response_detail,
            requests_per_second=requests_per_second,
            burst=burst,
            created=datetime.now(UTC).replace(microsecond=0),
        )
    except ValidationError as error:
        raise typer.BadParameter(first_fault(error)) from error
    with _errors_shown():
        key_file.add(file, key)
    may = _MAY[role]
    _say(
        f"{name} may {may} with this key. Keep it: it is shown this once. Send it as 'Authorization: Bearer KEY'. "
        f"Servers with GUARD_API_KEYS_FILE={escape(str(file))} take it within a second."
    )
    typer.echo(secret)


@keys_app.command(name="list")
def list_keys(
    file: FileOption,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line instead of a table.")
    ] = False,
) -> None:
    """Show the keys of a file: everything that is known of them but their SHA-256."""
    with _errors_shown():
        keys = KeyFile.read(file).keys
    if json:
        for key in keys:
            typer.echo(json_module.dumps(key.model_dump(mode="json", exclude={"sha256"})))
    else:
        Console().print(_table(keys))


@keys_app.command()
def revoke(name: NameArgument, file: FileOption) -> None:
    """Take a key out of the file; servers that are running refuse it within a second."""
    with _errors_shown():
        key_file.remove(file, name)
    _say(
        f"The key {name} is revoked. Servers with GUARD_API_KEYS_FILE={escape(str(file))} refuse it within a second."
    )


def _table(keys: tuple[ApiKey, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("name", "role", "response detail", "requests/s", "burst", "created"):
        table.add_column(column, overflow="fold")
    for key in keys:
        limits = (key.requests_per_second, key.burst)
        shown = ["" if limit is None else f"{limit:g}" for limit in limits]
        table.add_row(
            key.name,
            key.role,
            key.response_detail,
            *shown,
            f"{key.created.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        )
    return table


@contextmanager
def _errors_shown() -> Iterator[None]:
    try:
        yield
    except GuardError as error:
        _say(f"[bold red]error:[/] {escape(str(error))}")
        raise typer.Exit(1) from error


def _say(text: str) -> None:
    """Print a message on standard error, as standard output is for the key or the list."""
    Console(stderr=True).print(text, soft_wrap=True, highlight=False)
