"""Options, settings and errors shared by the commands of ``mutant-guard``. Loads no engine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from mutant_guard.errors import GuardError
from service.settings import Device, Settings
from service.variables import PREFIX

if TYPE_CHECKING:  # not imported at run time: it imports the engine
    from service.guard_service import GuardService
    from service.processes.peers import Peers

PolicyOption = Annotated[
    str | None,
    typer.Option(
        help="Policy of the verdict: calibrated, fixed or paper. Default: GUARD_POLICY, else calibrated."
    ),
]
MaxMutantsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Most mutants a request may use. Default: GUARD_MAX_MUTANTS, else as many as the policy needs.",
    ),
]
DeviceOption = Annotated[
    Device | None,
    typer.Option(help="Where mutants run; auto takes CUDA if it is there. Default: GUARD_DEVICE, else auto."),
]
SignatureOption = Annotated[
    Path | None,
    typer.Option(
        help="Serve the store only if this public key (PEM) signed it. Default: GUARD_REQUIRE_SIGNATURE, else any.",
        metavar="PUB",
    ),
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(help="File that holds the API key of the server. Default: MUTANT_GUARD_API_KEY, else none."),
]
TrustEnvOption = Annotated[
    bool,
    typer.Option(
        "--trust-env",
        help="Take proxies and trusted certificates from the environment (HTTPS_PROXY, SSL_CERT_FILE and the like). A "
        "proxy reads what is sent to an http URL, the API key included.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object a line instead of a table.")]


def settings_with(**given: object) -> Settings:
    """Return the settings of the environment, replaced by given values that are not None.

    Ends the command where the result is invalid.
    """
    try:
        return Settings.model_validate(
            Settings().model_dump() | {name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        first = error.errors()[0]
        named = f"{PREFIX}{first['loc'][0]}: ".upper() if first["loc"] else ""
        refuse(f"{named}{first['msg'].removeprefix('Value error, ')}", error)


def load(settings: Settings, peers: "Peers | None" = None) -> "GuardService":
    """Load a guard, or end the command where its store cannot be served."""
    from service.guard_service import GuardService

    try:
        return GuardService(settings, peers=peers)
    except GuardError as error:
        refuse(str(error), error)


def refuse(message: str, error: Exception) -> NoReturn:
    """Show an error and end the command with exit status 1."""
    show_error(message)
    raise typer.Exit(1) from error


def show_error(message: str) -> None:
    """Print an error on one line of standard error."""
    Console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True, highlight=False)
