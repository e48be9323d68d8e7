"""Command ``mutant-guard classify``: the verdict on image files, here or asked of a server."""

import asyncio
import json as json_module
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mutant_guard.client import (
    AsyncGuardClient,
    ClientError,
    KeyRefusedError,
    NotFoundError,
    RefusedError,
    UnexpectedAnswerError,
    UnreachableError,
)
from mutant_guard.client.server import read_key
from mutant_guard.errors import RequestError
from mutant_guard.wire.verdict import Classification, Verdict
from service.cli.command import (
    DeviceOption,
    JsonOption,
    KeyFileOption,
    MaxMutantsOption,
    PolicyOption,
    SignatureOption,
    TrustEnvOption,
    load,
    refuse,
    settings_with,
    show_error,
)
from service.telemetry.logs import configure_logs

if TYPE_CHECKING:  # not imported at run time: asking a server takes no engine
    from service.guard_service import GuardService

StoreOption = Annotated[
    str | None,
    typer.Option(
        help="Directory of the mutant store; with --server its name there. Default: GUARD_STORE, else stores/digits; "
        "the server's first.",
    ),
]
ServerOption = Annotated[
    str | None, typer.Option(help="Ask the server at this URL instead; loads no store.", metavar="URL")
]

_COLOURS = {Verdict.NORMAL: "green", Verdict.ADVERSARIAL: "red", Verdict.UNDECIDED: "yellow"}
_MANY = 10
"""Number of images from which a terminal shows a progress bar."""

_OF_ALL = (KeyRefusedError, NotFoundError, UnreachableError, UnexpectedAnswerError)
"""Errors that the next image would meet as well."""

_INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


@dataclass
class _Answers:
    """Answers to the images so far, in their order; an error is a text.

    As JSON, each is written as it comes.
    """

    json: bool
    found: list[tuple[Path, Classification | str]] = field(default_factory=list)

    def add(self, path: Path, answer: Classification | str) -> None:
        """Add the answer to the next image."""
        self.found.append((path, answer))
        if self.json:
            typer.echo(_line(path, answer))

    def finish(self) -> None:
        """Show the answers that are not shown yet."""
        if self.json or not self.found:
            return
        Console().print(_table(self.found))
        for path, answer in self.found:
            if isinstance(answer, str):
                show_error(f"{path}: {answer}")

    def of(self, count: int) -> str:
        """Return how many images were answered, for the end of a message; empty where none were."""
        return f" ({len(self.found)} of {count} images were answered)" if self.found else ""


def classify(
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG or WebP files.")],
    store: StoreOption = None,
    policy: PolicyOption = None,
    max_mutants: MaxMutantsOption = None,
    device: DeviceOption = None,
    require_signature: SignatureOption = None,
    server: ServerOption = None,
    key_file: KeyFileOption = None,
    trust_env: TrustEnvOption = False,
    concurrency: Annotated[int, typer.Option(min=1, help="Most requests to the server at a time.")] = 8,
    json: JsonOption = False,
) -> None:
    """Classify image files, here or by asking a server.

    Exits 1 if any file could not be classified, 130 when interrupted.
    """
    answers = _Answers(json)
    failure: Exception | None = None
    if server is None:
        for option, given in (("--key-file", key_file is not None), ("--trust-env", trust_env)):
            if given:
                raise typer.BadParameter("is for --server URL", param_hint=option)
        settings = settings_with(
            store=None if store is None else Path(store),
            policy=policy,
            max_mutants=max_mutants,
            device=device,
            require_signature=require_signature,
        ).model_copy(update={"deadline_seconds": inf})  # the person who waits can interrupt the command
        configure_logs("console", quiet=True)
        guard = load(settings)
        with _interruptible(answers, len(images)):
            _here(guard, images, answers)
    else:
        chosen = (policy, max_mutants, device, require_signature)
        names = ("--policy", "--max-mutants", "--device", "--require-signature")
        for name, value in zip(names, chosen, strict=True):
            if value is not None:
                raise typer.BadParameter(
                    "is the server's to set; leave it out with --server", param_hint=name
                )
        with _interruptible(answers, len(images)):
            client = partial(_client, server, key_file, trust_env)
            failure = asyncio.run(_asked(client, images, store, concurrency, answers))
    answers.finish()
    if failure is not None:
        refuse(f"{failure}{answers.of(len(images))}", failure)
    if any(isinstance(answer, str) for _, answer in answers.found):
        raise typer.Exit(1)


@contextmanager
def _interruptible(answers: _Answers, count: int) -> Iterator[None]:
    """Show the answers so far after Ctrl-C, and end the command."""
    try:
        yield
    except KeyboardInterrupt:
        answers.finish()
        show_error(f"interrupted{answers.of(count)}")
        raise typer.Exit(_INTERRUPTED) from None


def _here(guard: "GuardService", images: list[Path], answers: _Answers) -> None:
    guard.start()
    try:
        for path in images:
            answers.add(path, _judged(guard, path))
    finally:
        guard.models.default.close()


def _judged(guard: "GuardService", path: Path) -> Classification | str:
    from service.classification import classification

    try:
        started = time.perf_counter()
        answer = guard.guard.classify(path.read_bytes())
        elapsed = time.perf_counter() - started
    except OSError as error:
        return _unread(error)
    except RequestError as error:
        return str(error)
    return classification(answer, request_id=path.name, elapsed=elapsed)


def _client(server: str, key_file: Path | None, trust_env: bool) -> AsyncGuardClient:
    key = None if key_file is None else read_key(key_file)
    return AsyncGuardClient(server, key=key, trust_env=trust_env)


async def _asked(
    make_client: Callable[[], AsyncGuardClient],
    images: list[Path],
    store: str | None,
    concurrency: int,
    answers: _Answers,
) -> Exception | None:
    """Add the answers of a server.

    Returns the error that ended them early, which every further image would meet as well, or None.
    """
    try:
        async with make_client() as client:
            asked = client.classify_many(images, store=store, concurrency=concurrency, return_errors=True)
            async with aclosing(asked):
                with _progress(len(images), json=answers.json) as one_more:
                    for path in images:
                        answer = await anext(asked)
                        if isinstance(answer, _OF_ALL):
                            return answer
                        # Written in a thread: a slow reader of the lines must not hold up the
                        # requests in flight.
                        await asyncio.to_thread(answers.add, path, _said(answer))
                        one_more()
    except ClientError as error:
        return error
    return None


def _said(answer: Classification | ClientError | OSError) -> Classification | str:
    if isinstance(answer, OSError):
        return _unread(answer)
    if isinstance(answer, RefusedError):
        return answer.detail
    return str(answer) if isinstance(answer, ClientError) else answer


def _unread(error: OSError) -> str:
    return f"cannot be read: {error.strerror}"


@contextmanager
def _progress(count: int, *, json: bool) -> Iterator[Callable[[], object]]:
    """Yield a function to call for each image that is done.

    The progress bar is drawn on a terminal alone, where no lines show the progress, and is gone at
    the end.
    """
    console = Console(stderr=True)
    columns = (TextColumn("classifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = count < _MANY or not console.is_terminal or (json and sys.stdout.isatty())
    # No redirection: it would put standard output where the progress is drawn.
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, disable=hidden
    ) as progress:
        task = progress.add_task("", total=count)
        yield lambda: progress.advance(task)


def _line(path: Path, answer: Classification | str) -> str:
    found = (
        {"error": answer} if isinstance(answer, str) else answer.model_dump(mode="json", exclude_unset=True)
    )
    return json_module.dumps({"image": str(path), **found})


def _table(answers: list[tuple[Path, Classification | str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("image", overflow="fold", min_width=20)
    for column in ("label", "confidence", "verdict", "mutants", "changes", "ms"):
        table.add_column(column, no_wrap=column != "label")
    names = Counter(path.name for path, _ in answers)
    for path, answer in answers:
        name = escape(path.name if names[path.name] == 1 else str(path))
        if isinstance(answer, str):
            table.add_row(name, "", "", "[red]refused[/]")
            continue
        verdict = f"[{_COLOURS[answer.verdict]}]{answer.verdict.value}[/]{_why(answer)}"
        changes = "" if answer.label_changes is None else str(answer.label_changes)
        numbers = (
            str(answer.mutants),
            changes,
            "" if answer.elapsed_ms is None else f"{answer.elapsed_ms:.1f}",
        )
        confidence = "" if answer.confidence is None else f"{answer.confidence:.3f}"
        table.add_row(name, escape(answer.class_name), confidence, verdict, *numbers)
    return table


def _why(answer: Classification) -> str:
    reason = answer.undecided_because
    return "" if reason is None else f" ({reason.replace('_', ' ')})"
