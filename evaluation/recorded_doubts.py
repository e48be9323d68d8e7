"""``python -m evaluation.recorded_doubts``: retrained mutants' doubts of images, as a file.

The images are an experiment's. Stores and images of ``python -m evaluation run`` are taken where
they are there, and made elsewhere. ``python -m benchmarks doubts`` replays the files.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from evaluation.console import console
from evaluation.experiment.material.config import read_config
from evaluation.experiment.material.pools import Pools
from evaluation.experiment.material.samples import make_samples
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.records.results import NORMAL
from evaluation.workspace import Workspace
from mutant_guard.bank.cores import available_cores
from mutant_guard.store.atomic import write_atomically
from mutant_store.calibrating.recordings import kept_recordings, pack
from mutant_store.cli.console import BuildReport, errors_shown

OPERATOR = "retrain"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    config: Annotated[Path, typer.Option(help="TOML file of an experiment with the operator retrain.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data. Default: $GUARD_DATA_DIR, else ../shared/data.")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Folder of the experiment. Default: runs/NAME.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("reports/decision"),
) -> None:
    """Record doubts and label changes of images under the first seed's pool.

    The images are clean, wrongly labelled and adversarial.
    """
    folder = data or Path(os.environ.get("GUARD_DATA_DIR") or "../shared/data")
    with errors_shown(), BuildReport() as report:
        settings = read_config(config)
        place = Workspace(work or Path("runs") / config.stem)
        subject = ExperimentSubject(settings, folder)
        specs = (settings.spec(split, folder) for split in ("holdout", "train"))
        holdout, train = specs
        pools = Pools(settings.model, holdout, settings.pools, place, report, 0, train)
        key = pools.keys(OPERATOR)[0]
        store = pools.required(key)
        samples = make_samples(subject, place, report, available_cores())
        kept = kept_recordings(store)
        found = {"choice": kept["choice"], "certification": kept["certification"]}
        for kind, images in samples.sets.items():
            found["clean" if kind == NORMAL else kind] = pools.recorded(key, images)
        target = out / f"doubts-{settings.model.stem}-{store.manifest.seed}.safetensors"
        write_atomically(target, pack(found))
    console.print(f"wrote {target}", markup=False)


if __name__ == "__main__":
    app()
