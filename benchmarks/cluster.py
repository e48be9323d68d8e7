"""Build of a store by workers of a Ray cluster on this machine, against processes of the build's own."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure, quantity
from benchmarks.interleave import interleaved
from benchmarks.sections import Section, Table, held
from benchmarks.told import Told
from mutant_guard.errors import StoreError
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_store.build import BuildSettings, build
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.model_source import ModelSource
from mutant_store.pool.selection import SelectionSettings
from mutant_store.retraining.settings import RetrainSettings

_WEIGHTS = Path(__file__).parents[1] / "models/mnist-lenet.safetensors"
_WORKERS = 2
_MOST = 1.15
"""Largest ratio of the times."""


def measure(data: Path, quick: bool, say: Callable[[str], None]) -> Section:
    """Build a store of retrained mutants of LeNet in both ways, in turn.

    Args:
        data: folder with ``mnist``.
        quick: whether each way builds once, and trains for a few seconds.
        say: callback that is told what is going on.

    Raises:
        GuardError: Ray is not installed, or a store cannot be built.
        StoreError: the two ways build other stores.
    """
    versions: set[str] = set()
    started = time.perf_counter()
    with RayCluster("local", Told(say), jobs=_WORKERS) as cluster, tempfile.TemporaryDirectory() as folder:
        connected = time.perf_counter() - started

        def built(way: str, by: RayCluster | None) -> None:
            say(way)
            with tempfile.TemporaryDirectory(dir=folder) as out:
                versions.add(_build(data, Path(out) / "lenet", quick, say, by))

        ways = {f"--jobs {_WORKERS}": None, f"{_WORKERS} workers of Ray": cluster}
        timings = interleaved(
            {way: lambda way=way, by=by: built(way, by) for way, by in ways.items()},  # type: ignore[misc]
            1 if quick else 3,
            warm_ups=0,
        )
    if len(versions) > 1:
        raise StoreError(f"the two ways built other stores, versions {' and '.join(sorted(versions))}")
    processes, workers = (timings[way].median for way in ways)
    figures = [
        Figure("ray_build_ratio", workers / processes, "x", _MOST, at_most=True),
        Figure("ray_start", connected, "s"),
    ]
    rows = [
        [f"--jobs {_WORKERS}", quantity(processes, "s"), ""],
        [f"{_WORKERS} workers of Ray", quantity(workers, "s"), held(figures[0])],
    ]
    notes = [
        f"A cluster of this machine's own starts in {figures[1].shown}, which is not counted: others are there "
        "already. Both ways built the same version."
    ]
    table = Table("Build of retrained mutants of LeNet", ["way", "median", "ratio"], rows, notes)
    return Section("Cluster", [table], figures)


def _build(data: Path, out: Path, quick: bool, say: Callable[[str], None], cluster: RayCluster | None) -> str:
    """Return the version of a store of four mutants."""
    settings = BuildSettings(
        operator="retrain",
        selection=SelectionSettings(None, 4, 0, 0.8, jobs=_WORKERS),
        input=InputOptions(),
        calibration=CalibrationSettings(),
        retraining=RetrainSettings(
            train_data=f"mnist:{data}/mnist@train[0:{5_000 if quick else 20_000}]",
            epochs=2 if quick else 6,
            adversarial_images=1_000 if quick else 4_000,
        ),
    )
    spec = f"mnist:{data}/mnist@holdout[0:2000]"
    return build(ModelSource(str(_WEIGHTS)), spec, out, settings, Told(say), cluster=cluster).version
