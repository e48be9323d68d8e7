"""``python -m evaluation.label_changes``: recorded label changes of images, as a file.

The images are clean, adversarial and wrongly labelled. The command builds the stores, makes the
adversarial images and records both, each step once: a run that was killed goes on with what is
missing. ``python -m benchmarks decision`` replays the files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from evaluation.samples import Attack, attack_images
from mutant_guard.bank.cores import available_cores
from mutant_guard.errors import DataError
from mutant_guard.store.atomic import write_atomically
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_guard.store.reader import CURRENT, Store, load_store
from mutant_store.build import BuildSettings, build
from mutant_store.calibrating.recordings import kept_recordings, pack, record
from mutant_store.cli.console import BuildReport, errors_shown
from mutant_store.datasets import ImageData, load
from mutant_store.loading.input_spec import InputOptions
from mutant_store.networks import weights
from mutant_store.pool.selection import SelectionSettings
from mutant_store.reporter import Reporter

MODELS = Path(__file__).parents[1] / "models"


@dataclass(frozen=True)
class RecordedNetwork:
    """Classifier and what is recorded of it.

    Attributes:
        model: its name under ``models/``.
        data: kind and folder of its data below the data folder, as in SPECs.
        rate: mutation rate of its NAI mutants, the paper's for this data set.
        filter_error: value of ``mutant-store build --filter-error``.
        clean: number of clean test images, the first of the split's order.
        attacked: number of these that each attack is tried on; those that fool the classifier are
            kept.
        epsilon: size of FGSM's step as a share of the pixel range: the paper's, which is in
            normalised units.
    """

    model: str
    data: str
    rate: float
    filter_error: float
    clean: int
    attacked: dict[Attack, int]
    epsilon: float


SUBJECTS = {
    "mnist-lenet": RecordedNetwork(
        "mnist-lenet",
        "mnist:{}/mnist",
        rate=0.05,
        filter_error=0.0,
        clean=10_000,
        attacked={Attack.fgsm: 5_000, Attack.deepfool: 600, Attack.cw: 400},
        epsilon=0.35 * 0.3081,
    ),
    "cifar10-resnet20": RecordedNetwork(
        "cifar10-resnet20",
        "imagefolder:{}/cifar10",
        rate=0.005,
        filter_error=1e-6,
        clean=1_500,
        attacked={Attack.fgsm: 800, Attack.deepfool: 250, Attack.cw: 40},
        epsilon=0.03 * 0.25,
    ),
}

MUTANTS = 500


def main(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(SUBJECTS)}.")],
    data: Annotated[Path, typer.Option(help="Folder that holds mnist/ and cifar10/.")],
    seed: Annotated[list[int], typer.Option(help="Seed of a pool; give several.")] = [0, 1, 2],  # noqa: B006
    out: Annotated[Path, typer.Option(help="Folder of the recordings.")] = Path("reports/decision"),
    work: Annotated[Path, typer.Option(help="Folder of stores and images.")] = Path("stores/decision"),
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 uses all cores.")] = 0,
) -> None:
    """Record label changes of one classifier under every mutant of pools of 500."""
    with errors_shown(), BuildReport() as report:
        if name not in SUBJECTS:
            raise DataError(f"there is no '{name}'; choose one of {', '.join(SUBJECTS)}")
        subject = SUBJECTS[name]
        source = subject.data.format(data)
        samples = _samples(subject, load(f"{source}@test[0:{subject.clean}]"), work, report)
        for number in seed:
            target = out / f"{name}-{number}.safetensors"
            if target.exists():
                continue
            store = _store(subject, f"{source}@holdout", number, work / f"{name}-{number}", threads, report)
            recordings = kept_recordings(store)
            report.step(f"recording label changes under pool {number}")
            session = store.session(threads=threads)
            for kind, (pixels, labels) in samples.items():
                recordings[kind] = record(
                    session,
                    MUTANTS,
                    store.manifest.input.tensor(pixels),
                    labels,
                    _shown(report, len(labels), kind),
                )
            write_atomically(target, pack(recordings))
            report.step(f"wrote {target}")


_Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]


def _samples(
    subject: RecordedNetwork, clean: ImageData, work: Path, report: Reporter
) -> dict[str, _Labelled]:
    model = weights.load(MODELS / f"{subject.model}.safetensors")
    samples = {"clean": (clean.images, clean.labels)}
    for attack, count in subject.attacked.items():
        kept = work / f"{subject.model}-{attack}.npz"
        if not kept.exists():
            report.step(f"attacking {count} images with {attack}")
            part = clean.part(0, count)
            attacked, _, fooled = attack_images(model, part, attack, subject.epsilon)
            _save(kept, attacked[fooled], part.labels[fooled])
        with np.load(kept, allow_pickle=False) as file:
            samples[attack.value] = file["x"], file["y"]
        report.step(f"{len(samples[attack.value][1])} of {count} images fool {subject.model} after {attack}")
    return samples


def _save(path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    content = BytesIO()
    np.savez_compressed(content, x=images, y=labels)
    write_atomically(path, content.getvalue())


def _store(
    subject: RecordedNetwork, spec: str, seed: int, path: Path, threads: int, report: Reporter
) -> Store:
    if not (path / CURRENT).exists():
        settings = BuildSettings(
            operator="nai",
            selection=SelectionSettings(
                subject.rate, MUTANTS, seed, 0.9, subject.filter_error, threads or available_cores()
            ),
            input=InputOptions(),
            calibration=CalibrationSettings(),
            threads=threads,
        )
        build(MODELS / f"{subject.model}.onnx", spec, path, settings, report)
    return load_store(path)


def _shown(report: Reporter, total: int, kind: str) -> Callable[[int], None]:
    return lambda done: report.progress(done, total, kind)


if __name__ == "__main__":
    typer.run(main)
