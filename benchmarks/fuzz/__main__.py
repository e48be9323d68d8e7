"""``python -m benchmarks.fuzz``: requests that no client would send, and files that no exporter writes.

Requests go to the application and to a real server, files to a build.
"""

import logging
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.figures import Figure
from benchmarks.fuzz.asks import first
from benchmarks.fuzz.plan import Plan
from benchmarks.fuzz.tally import Tally, keep

EXECUTIONS = 100_000
FILES = 2_000

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

_ROOT = Path(__file__).parents[2]
_COVERED = re.compile(r"(INITED|DONE|pulse|NEW|RELOAD)\s+cov: (\d+)")
_MAX_BYTES = 1 << 14
_WIDTH = 120
_SAY_SECONDS = 15.0


@app.command()
def bodies(
    store: Annotated[list[Path], typer.Option(help="Directory of a store; give one that resamples as well.")],
    executions: Annotated[int, typer.Option(min=1, help="Requests to be made.")] = EXECUTIONS,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share them.")] = 2,
    seed: Annotated[int, typer.Option(min=1, help="Of all that is drawn.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for findings, logs and the corpus.")] = Path("runs/fuzz"),
) -> None:
    """Send hostile bodies, guided by the code they reach. Exits 1 where a target is missed."""
    share = -(-executions // jobs)
    plans = [Plan([path.resolve() for path in store], share, number, out.resolve()) for number in range(jobs)]
    for ask in first():
        keep(ask.written(), plans[0].corpus)
    processes = [_start(plan, seed) for plan in plans]
    try:
        _follow(plans, processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    crashes = sum(process.returncode != 0 for process in processes)
    _end(_report(_total(plans), crashes, plans))


@app.command()
def bombs(
    store: Annotated[Path, typer.Option(help="Directory of a store that resamples.")],
) -> None:
    """Send images made to take long, one by one, under the limits as shipped.

    Exits 1 where a target is missed.
    """
    from benchmarks.fuzz import blast

    warnings.simplefilter("ignore")
    section = blast.measure(store)
    Console(highlight=False, width=_WIDTH).print(section.tables[0].rich())
    _end(section.figures)


@app.command()
def files(
    executions: Annotated[int, typer.Option(min=1, help="Files of each kind to be read.")] = FILES,
    seconds: Annotated[float, typer.Option(min=1, help="Time after which no more are begun.")] = 3600.0,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="onnx, npz, folders or names; may be given several times. Default: all."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share them.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for findings and logs.")] = Path("runs/fuzz/files"),
) -> None:
    """Build stores from changed ONNX files, data sets and lists of names, each accepted or refused in one line.

    Exits 1 where a target is missed.
    """
    from benchmarks.fuzz.readers import TARGETS, run

    kinds = kind or [*TARGETS]
    tally = run.run(
        kinds,
        executions,
        seconds=seconds,
        jobs=jobs,
        seed=seed,
        out=out,
        say=lambda text: typer.echo(text, err=True),
    )
    for name, count in sorted(tally.statuses.items()):
        typer.echo(f"  {name}: {count:,}")
    for fault, count in tally.faults.items():
        typer.echo(f"{count} × {fault}: {tally.files[fault]}")
    _end(run.figures(tally, executions * len(kinds)))


@app.command()
def api(
    store: Annotated[Path, typer.Option(help="Directory of the store to serve.")],
    examples: Annotated[int, typer.Option(min=1, help="Most drawn requests of an operation.")] = 300,
) -> None:
    """Ask a real server everything that its OpenAPI document holds.

    Exits 1 where a target is missed.
    """
    from benchmarks.fuzz import api

    logging.getLogger("urllib3").setLevel(logging.ERROR)
    found = api.ask(store, examples, lambda text: typer.echo(text, err=True))
    for name, count in sorted(found.statuses.items()):
        typer.echo(f"  {name}: {count:,}")
    for fault, sample in found.faults.items():
        typer.echo(f"{fault}\n    {sample}")
    _end(api.figures(found))


def _end(figures: Sequence[Figure]) -> None:
    for figure in figures:
        typer.echo(figure.json())
    if any(figure.met is False for figure in figures):
        raise typer.Exit(1)


def _start(plan: Plan, seed: int) -> "subprocess.Popen[bytes]":
    for stale in (plan.tally, plan.log):
        stale.unlink(missing_ok=True)
    plan.findings.mkdir(parents=True, exist_ok=True)
    flags = [
        f"-runs={plan.executions}",
        f"-seed={seed + plan.number}",
        f"-max_len={_MAX_BYTES}",
        "-len_control=0",
    ]
    flags += ["-timeout=60", "-rss_limit_mb=0", f"-artifact_prefix={plan.findings}/"]
    with plan.log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fuzz.worker", plan.write(), *flags, plan.corpus],
            cwd=_ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _follow(plans: Sequence[Plan], processes: "Sequence[subprocess.Popen[bytes]]") -> None:
    due = time.monotonic()
    while any(process.poll() is None for process in processes):
        time.sleep(0.2)
        if time.monotonic() - due > _SAY_SECONDS:
            due = time.monotonic()
            tally = _total(plans)
            typer.echo(f"{tally.executions:,} requests, {len(tally.faults)} kinds of fault", err=True)


def _total(plans: Sequence[Plan]) -> Tally:
    return reduce(Tally.__add__, (Tally.read(plan.tally) for plan in plans))


def _covered(plan: Plan) -> tuple[int, int]:
    """Return the edges that the corpus reached, and those that were reached at the end."""
    found = [
        int(edges) for _, edges in _COVERED.findall(plan.log.read_text(encoding="utf-8", errors="replace"))
    ]
    return (found[0], max(found)) if found else (0, 0)


def _report(tally: Tally, crashes: int, plans: Sequence[Plan]) -> list[Figure]:
    rate = tally.executions / max(tally.seconds, 1e-9)
    typer.echo(f"{tally.executions:,} requests, {rate:,.0f} a second and process")

    for name, count in sorted(tally.statuses.items()):
        typer.echo(f"  {name}: {count:,}")
    for plan in plans:
        before, after = _covered(plan)
        typer.echo(
            f"process {plan.number}: {before:,} edges of Python code from the corpus, {after:,} at the end"
        )
    for fault, count in tally.faults.items():
        typer.echo(f"{count} × {fault}: {tally.files[fault]}")
    typer.echo(f"slowest in the event loop: {tally.held_by}")
    errors = sum(
        count for name, count in tally.statuses.items() if name.split()[1] in ("0", "500", "502", "503")
    )
    return [
        Figure("fuzzed_bodies", tally.executions, "", EXECUTIONS),
        Figure("fuzz_faults", sum(tally.faults.values()), "", 0, at_most=True),
        Figure("fuzz_5xx", errors, "", 0, at_most=True),
        Figure("fuzz_crashes", crashes, "", 0, at_most=True),
        Figure("fuzz_pixels_decoded", tally.pixels, "", plans[0].max_pixels, at_most=True),
        Figure("fuzz_memory", tally.memory / 1e6, "MB", plans[0].most_memory / 1e6, at_most=True),
        Figure("fuzz_loop_held", 1000 * tally.held, "ms", 1000 * plans[0].most_held, at_most=True),
        Figure("fuzz_rate", rate, ""),
    ]


if __name__ == "__main__":
    app()
