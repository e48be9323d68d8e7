"""Options of commands that can work on a Ray cluster."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from mutant_store.cli.console import finite
from mutant_store.reporter import Reporter

if TYPE_CHECKING:
    from mutant_store.cluster.ray_cluster import RayCluster

_PANEL = "Cluster"

Ray = Annotated[
    str | None,
    typer.Option(
        metavar="auto|local|HOST:PORT",
        help="Do the work on a Ray cluster: auto for the one of RAY_ADDRESS or of this machine, HOST:PORT for one that "
        "this machine is a node of, local for one on this machine that ends with the command. --jobs is then the most "
        "tasks at a time.",
        rich_help_panel=_PANEL,
    ),
]
GpusPerMutant = Annotated[
    float,
    typer.Option(
        callback=finite,
        min=0,
        max=8,
        help="GPUs of the cluster that each training takes, 0.5 for two trainings on one; 0 trains on CPUs.",
        rich_help_panel=_PANEL,
    ),
]


def cluster_of(
    ray: str | None, gpus: float, jobs: int, report: Reporter
) -> "AbstractContextManager[RayCluster | None]":
    """Connect to the cluster that the options name; None where they name none.

    Args:
        ray: value of --ray.
        gpus: value of --gpus-per-mutant.
        jobs: value of --jobs.
        report: receiver of a line on the cluster.

    Raises:
        typer.BadParameter: GPUs are asked for without a cluster.
        GuardError: there is no such cluster, see ``RayCluster``.
    """
    if ray is None:
        if gpus:
            raise typer.BadParameter("it is about the nodes of a cluster: give --ray as well")
        return nullcontext()
    from mutant_store.cluster.ray_cluster import RayCluster

    return RayCluster(ray, report, jobs=jobs, gpus=gpus)
