"""``python -m evaluation``: experiments that configurations describe, and their reports."""

import os
from pathlib import Path
from typing import Annotated

import typer

from evaluation.console import console
from mutant_guard.bank.cores import available_cores
from mutant_guard.errors import DataError
from mutant_guard.runtime.options import Device
from mutant_store.cli.console import BuildReport, errors_shown
from mutant_store.cli.ray_options import GpusPerMutant, Ray, cluster_of

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

_DATA = "GUARD_DATA_DIR"

Data = Annotated[
    Path | None,
    typer.Option(help=f"Folder that {{data}} stands for in it. Default: ${_DATA}, else ../shared/data."),
]
Out = Annotated[
    Path | None, typer.Option(help="Folder of the report. Default: reports/NAME, NAME the file's.")
]
Work = Annotated[
    Path | None,
    typer.Option(
        help="Folder of stores, images and scores; what is there is not made again. Default: runs/NAME."
    ),
]


@app.command()
def run(
    config: Annotated[Path, typer.Option(help="TOML file such as evaluation/configs/quick.toml.")],
    data: Data = None,
    out: Out = None,
    work: Work = None,
    jobs: Annotated[
        int, typer.Option(min=0, help="Processes that make adversarial images; 0 takes all cores.")
    ] = 0,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of the rest; 0 takes all cores.")] = 0,
    ray: Ray = None,
    gpus_per_mutant: GpusPerMutant = 0.0,
) -> None:
    """Make all that an experiment needs, from a model, its data and a seed, and write its report.

    A run that was killed goes on where it stopped.
    """
    from evaluation.experiment.material.config import read_config
    from evaluation.experiment.run import Experiment
    from evaluation.report.write import write
    from evaluation.workspace import Workspace
    from service.telemetry.logs import configure_logs

    configure_logs("console", quiet=True)
    with errors_shown():
        settings = read_config(config)
        folder = _folder(data)
        if settings.needs_folder and not folder.is_dir():
            raise DataError(f"there is no {folder}; give --data, or set {_DATA} to the folder of the data")
        place = Workspace(work or Path("runs") / config.stem)
        target = out or Path("reports") / config.stem
        with BuildReport() as report, cluster_of(ray, gpus_per_mutant, jobs, report) as cluster:
            experiment = Experiment(
                config.stem,
                settings,
                folder,
                place,
                report,
                jobs=jobs or available_cores(),
                threads=threads,
                cluster=cluster,
            )
            results = experiment.run()
        write(results, target)
    console.print(f"wrote {target}/report.md", markup=False)


@app.command()
def published(
    config: Annotated[Path, typer.Option(help="TOML file such as evaluation/configs/imagenet-lite0.toml.")],
    data: Data = None,
    out: Out = None,
    work: Work = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")] = 0,
) -> None:
    """Guard a classifier with published weights by others, and write the report.

    A run that was killed goes on where it stopped.
    """
    from evaluation.imagenet.config import read_config
    from evaluation.imagenet.experiment import Experiment
    from evaluation.report.write import write
    from evaluation.workspace import Workspace

    with errors_shown():
        settings = read_config(config)
        place = Workspace(work or Path("runs") / config.stem)
        target = out or Path("reports") / config.stem
        with BuildReport() as report:
            results = Experiment(config.stem, settings, _folder(data), place, report, threads).run()
        write(results, target)
    console.print(f"wrote {target}/report.md", markup=False)


@app.command()
def adaptive(
    config: Annotated[Path, typer.Option(help="TOML file such as evaluation/configs/mnist-robust.toml.")],
    store: Annotated[Path, typer.Option(help="Directory of the store that is attacked.")],
    another: Annotated[
        Path | None,
        typer.Option(help="Store by the same recipe and another seed, of an attacker without the first."),
    ] = None,
    data: Data = None,
    out: Out = None,
    work: Work = None,
    device: Annotated[
        Device, typer.Option(help="Device of gradients and answers: cpu (one core), cuda, or what there is.")
    ] = "cpu",
) -> None:
    """Attack a store in every way there is, as who holds a copy of it can, and write the report.

    A run that was killed goes on where it stopped.
    """
    from evaluation.evasion.config import read_config
    from evaluation.evasion.experiment import EvasionExperiment
    from evaluation.evasion.page import PAGE
    from evaluation.hardware import chosen_device
    from evaluation.workspace import Workspace
    from mutant_guard.store.reader import load_store

    with errors_shown():
        settings = read_config(config)
        folder = _folder(data, needed=settings.needs_folder)
        place = Workspace(work or Path("runs") / config.stem)
        target = out or Path("reports") / config.stem
        attacked, own = load_store(store), None if another is None else load_store(another)
        with BuildReport() as report:
            experiment = EvasionExperiment(
                config.stem, settings, folder, attacked, own, place, report, chosen_device(device)
            )
            results = experiment.run()
        PAGE.write(results, target)
    console.print(f"wrote {target}/report.md", markup=False)


@app.command()
def queries(
    config: Annotated[Path, typer.Option(help="TOML file such as evaluation/configs/queries-mnist.toml.")],
    store: Annotated[
        Path | None,
        typer.Option(help="Directory of the store that is asked; not for a published classifier."),
    ] = None,
    data: Data = None,
    out: Out = None,
    work: Work = None,
) -> None:
    """Attack a store by queries alone, with and without a memory of what was asked.

    One core works. A run that was killed goes on where it stopped.
    """
    import logging

    import structlog

    from evaluation.queries.config import read_config
    from evaluation.queries.experiment import QueriesExperiment
    from evaluation.queries.material import published_store
    from evaluation.queries.page import PAGE
    from evaluation.workspace import Workspace
    from service.telemetry.logs import configure_logs

    configure_logs("console", quiet=True)
    # Campaigns, of which the watch warns, are what is measured.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with errors_shown():
        settings = read_config(config)
        folder = _folder(data, needed=settings.needs_folder)
        place = Workspace(work or Path("runs") / config.stem)
        target = out or Path("reports") / config.stem
        with BuildReport() as report:
            if store is None and settings.published is not None:
                store = published_store(settings.published, folder, settings.seed, place, report)
            if store is None:
                raise DataError(f"give --store, the directory of the store that {config} asks")
            results = QueriesExperiment(config.stem, settings, folder, store, place, report).run()
        PAGE.write(results, target)
    console.print(f"wrote {target}/report.md", markup=False)


def _folder(data: Path | None, *, needed: bool = False) -> Path:
    folder = data or Path(os.environ.get(_DATA) or "../shared/data")
    if needed and not folder.is_dir():
        raise DataError(f"there is no {folder}; give --data, or set {_DATA} to the folder of the data")
    return folder


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a report, with its results.json.")],
) -> None:
    """Write a report's page and pictures anew from its results.json."""
    from evaluation.evasion.page import PAGE as EVASION
    from evaluation.queries.page import PAGE as QUERIES
    from evaluation.report.write import rerender

    with errors_shown():
        if not EVASION.rerender(folder) and not QUERIES.rerender(folder):
            rerender(folder)
    console.print(f"wrote {folder}/report.md", markup=False)


if __name__ == "__main__":
    app()
