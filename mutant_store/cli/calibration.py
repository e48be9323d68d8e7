"""Commands ``calibrate`` and ``simulate`` of ``mutant-store``.

The first moves a store's operating point, the second shows beforehand what a move would give.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from mutant_store.cli.calibration_options import (
    Alpha,
    Beta,
    CleanMutants,
    Confidence,
    DeltaRatio,
    Evidence,
    FixedMutants,
    MaxFalseAlarm,
    MaxMiss,
    OwnWeight,
    Rho,
)
from mutant_store.cli.console import BuildReport, Memory, errors_shown
from mutant_store.cli.versions import StoreArgument

app = typer.Typer()


@app.command()
def calibrate(
    store: StoreArgument,
    data: Annotated[
        str | None,
        typer.Option(
            help="Clean labelled images, a SPEC as for build: half choose the policies, half certify them. "
            "Default: the label changes kept in the store."
        ),
    ] = None,
    max_false_alarm: MaxFalseAlarm = None,
    confidence: Confidence = None,
    max_miss: MaxMiss = None,
    clean_mutants: CleanMutants = None,
    fixed_mutants: FixedMutants = None,
    rho: Rho = None,
    alpha: Alpha = None,
    beta: Beta = None,
    delta_ratio: DeltaRatio = None,
    evidence: Evidence = None,
    own_weight: OwnWeight = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 uses all cores.")] = 0,
    memory: Memory = None,
    sign_key: Annotated[
        Path | None,
        typer.Option(help="Sign the new version with this private key before it becomes the current one."),
    ] = None,
) -> None:
    """Calibrate a store anew without making its mutants again, and publish a version of its own.

    Settings that are not given stay as they are in the store.
    """
    from mutant_store.calibrating.recalibrate import recalibrate
    from mutant_store.cli.mutant_tables import mutant_tables
    from mutant_store.cli.tables import calibration_table, estimates_table

    with errors_shown(), BuildReport() as report:
        calibrated = recalibrate(
            store,
            report,
            spec=data,
            sign_key=sign_key,
            threads=threads,
            max_false_alarm=max_false_alarm,
            confidence=confidence,
            max_miss=max_miss,
            clean_mutants=clean_mutants,
            fixed_mutants=fixed_mutants,
            rho=rho,
            alpha=alpha,
            beta=beta,
            delta_ratio=delta_ratio,
            evidence=evidence,
            own_weight=own_weight,
        )
    console = Console()
    console.print(f"published [bold]{store}[/bold] version {calibrated.version}")
    tables = calibration_table(calibrated), estimates_table(calibrated), *mutant_tables(calibrated)
    for table in tables:
        console.print(table)


@app.command()
def simulate(
    store: StoreArgument,
    data: Annotated[
        str | None,
        typer.Option(
            help="Clean labelled images, a SPEC as for build. Default: the label changes of the certification part "
            "kept in the store, on which the thresholds were set."
        ),
    ] = None,
    suspicious: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SPEC",
            help="Labelled images that should all raise an alarm, such as fgsm=npz:fgsm.npz; may be given several "
            "times.",
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="A policy to replay; may be given several times. Default: all of the store."),
    ] = None,
    grid: Annotated[
        bool, typer.Option(help="Try other settings of calibrated as well, some seconds each.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="Folder to write report.json and plots (PNG) to.")] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the orders in which the images meet the mutants.")
    ] = 0,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 uses all cores.")] = 0,
    memory: Memory = None,
) -> None:
    """Replay recorded label changes through the policies, and through other settings of calibrated.

    The tables show false alarms, detection and mutants used, so that a policy and its setting can
    be chosen before deploying. Nothing in the store is changed.
    """
    from mutant_guard.store.atomic import write_atomically
    from mutant_store.calibrating.simulate import simulate as run
    from mutant_store.calibrating.simulation_plots import check_output, plots
    from mutant_store.cli.tables import detection_table, grid_lines, grid_table, replay_table

    with errors_shown():
        if out is not None:
            check_output(out)
        with BuildReport() as report:
            simulation = run(
                store,
                report,
                spec=data,
                suspicious=suspicious or (),
                policies=policy or (),
                grid=grid,
                seed=seed,
                threads=threads,
            )
        console = Console()
        for note in simulation.notes:
            console.print(f"[bold]note:[/] {escape(note)}", highlight=False, soft_wrap=True)
        console.print(replay_table(simulation), "")
        if simulation.kinds:
            console.print(detection_table(simulation), "")
        if simulation.grid is not None:
            console.print(grid_table(simulation, simulation.grid), "")
            for line in grid_lines(store, simulation.grid):
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        if out is not None:
            files = {"report.json": simulation.model_dump_json(indent=1).encode(), **plots(simulation)}
            for name, content in files.items():
                write_atomically(out / name, content)
                typer.echo(f"wrote {out / name}")
