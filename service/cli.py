"""``mutant-guard``: serve a store over HTTP, or classify images without a server."""

import json as json_module
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import structlog
import typer
from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mutant_store.errors import GuardError
from service.classification import classification
from service.errors import BadImageError
from service.guard import Guard
from service.http.server import run
from service.keys_cli import keys_app
from service.logs import configure_logs
from service.settings import Device, Settings
from service.verdict import Classification, Verdict

app = typer.Typer(
    help="Guard an image classifier: label, verdict, and the number of mutants it took.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(keys_app, name="keys")

StoreOption = Annotated[
    Path | None, typer.Option(help="Directory of the mutant store. Default: GUARD_STORE, else stores/digits.")
]
StoresOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--store",
        help="Directory of a mutant store; repeat it to serve several, by name, the first by default. Default: "
        "GUARD_STORE, else stores/digits.",
    ),
]
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
_COLOURS = {Verdict.NORMAL: "green", Verdict.ADVERSARIAL: "red", Verdict.UNDECIDED: "yellow"}


def _settings(**given: object) -> Settings:
    try:
        return Settings.model_validate(
            Settings().model_dump() | {name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        first = error.errors()[0]
        _refuse(f"GUARD_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}", error)


def _load(settings: Settings) -> Guard:
    try:
        return Guard(settings)
    except GuardError as error:
        _refuse(str(error), error)


def _refuse(message: str, error: Exception) -> NoReturn:
    _show_error(message)
    raise typer.Exit(1) from error


def _show_error(message: str) -> None:
    Console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True, highlight=False)


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
) -> None:
    """Serve mutant stores over HTTP: POST /classify, /v2 (Open Inference Protocol), /livez, /readyz, /metrics, /docs.

    Every other setting is an environment variable with the prefix GUARD_.
    """
    settings = _settings(
        store=store,
        policy=policy,
        max_mutants=max_mutants,
        device=device,
        require_signature=require_signature,
    )
    configure_logs(settings.log_format)
    guard = _load(settings)
    where = f"http://{f'[{host}]' if ':' in host else host}:{port}" if port else "a free port"
    structlog.get_logger().info("serving", url=where, stores=guard.models.names, policy=settings.policy)
    signal.signal(signal.SIGTERM, _exit)  # until the server takes signals
    run(guard, host=host, port=port)


@app.command()
def classify(
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG or WebP files.")],
    store: StoreOption = None,
    policy: PolicyOption = None,
    max_mutants: MaxMutantsOption = None,
    device: DeviceOption = None,
    require_signature: SignatureOption = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line instead of a table.")
    ] = False,
) -> None:
    """Classify image files without a server. Exits 1 if any file could not be classified."""
    settings = _settings(
        store=store,
        policy=policy,
        max_mutants=max_mutants,
        device=device,
        require_signature=require_signature,
    )
    configure_logs("console", quiet=True)
    guard = _load(settings)
    guard.start()
    answers = [(path, _classify(guard, path)) for path in images]
    guard.models.default.close()
    if json:
        for path, answer in answers:
            found = (
                {"error": answer}
                if isinstance(answer, str)
                else answer.model_dump(mode="json", exclude_unset=True)
            )
            typer.echo(json_module.dumps({"image": str(path), **found}))
    else:
        Console().print(_table(answers))
        for path, answer in answers:
            if isinstance(answer, str):
                _show_error(f"{path}: {answer}")
    if any(isinstance(answer, str) for _, answer in answers):
        raise typer.Exit(1)


def _classify(guard: Guard, path: Path) -> Classification | str:
    try:
        answer, elapsed = guard.judge_now(path.read_bytes())
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except BadImageError as error:
        return str(error)
    return classification(guard, answer, request_id=path.name, elapsed=elapsed)


def _table(answers: list[tuple[Path, Classification | str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("image", overflow="fold", min_width=20)
    for column in ("label", "confidence", "verdict", "mutants", "changes", "ms"):
        table.add_column(column, no_wrap=column != "label")
    names = [path.name for path, _ in answers]
    for path, answer in answers:
        name = escape(path.name if names.count(path.name) == 1 else str(path))
        if isinstance(answer, str):
            table.add_row(name, "", "", "[red]refused[/]")
            continue
        verdict = f"[{_COLOURS[answer.verdict]}]{answer.verdict.value}[/]{_why(answer)}"
        numbers = (str(answer.mutants), str(answer.label_changes), f"{answer.elapsed_ms:.1f}")
        confidence = "" if answer.confidence is None else f"{answer.confidence:.3f}"
        table.add_row(name, escape(answer.class_name), confidence, verdict, *numbers)
    return table


def _why(answer: Classification) -> str:
    reason = answer.undecided_because
    return "" if reason is None else f" ({reason.replace('_', ' ')})"
