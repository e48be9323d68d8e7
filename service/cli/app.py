"""Command ``mutant-guard``: serve a store, classify images, review alarms, keep API keys."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from service.cli.classify import classify
from service.cli.command import (
    DeviceOption,
    MaxMutantsOption,
    PolicyOption,
    SignatureOption,
    load,
    settings_with,
)
from service.cli.keys import keys_app
from service.cli.process import process
from service.cli.review import review_app
from service.telemetry.logs import configure_logs

app = typer.Typer(
    help="Guard an image classifier: label, verdict, and the number of mutants it took.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(keys_app, name="keys")
app.add_typer(review_app, name="review")

StoresOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--store",
        help="Directory of a mutant store; repeat it to serve several, by name, the first by default. Default: "
        "GUARD_STORE, else stores/digits.",
    ),
]


ProcessesOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Processes that serve on the port, for small networks. Default: GUARD_PROCESSES, else 1."
    ),
]


def _exit(_: int, __: FrameType | None) -> NoReturn:
    sys.exit(0)


@app.command()
def serve(
    store: StoresOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port to listen on.")] = 8000,
    policy: PolicyOption = None,
    max_mutants: MaxMutantsOption = None,
    device: DeviceOption = None,
    require_signature: SignatureOption = None,
    processes: ProcessesOption = None,
) -> None:
    """Serve mutant stores over HTTP.

    Paths: POST /classify, /v2 (Open Inference Protocol), /livez, /readyz, /metrics, /openapi.json.

    Every other setting is an environment variable with the prefix GUARD_.
    """
    settings = settings_with(
        store=store,
        policy=policy,
        max_mutants=max_mutants,
        device=device,
        require_signature=require_signature,
        processes=processes,
    )
    if settings.processes > 1:
        from service.processes.supervisor import supervise

        signal.signal(signal.SIGTERM, _exit)  # in effect until the supervisor handles signals itself
        raise typer.Exit(supervise(settings, host=host, port=port))
    configure_logs(settings.log_format)
    guard = load(settings)
    from service.http.server import run

    signal.signal(signal.SIGTERM, _exit)  # in effect until the server handles signals itself
    run(guard, host=host, port=port)


app.command()(classify)
app.command(hidden=True)(process)
