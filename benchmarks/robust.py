"""Ways of training robust mutants side by side: minutes, doubts of clean images, and evasion.

Every way makes the one mutant of a store of its own. Who holds the store attacks images that
trained and calibrated nothing, and that are no test images: the last of the training images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.sections import Section, Table
from benchmarks.told import Told
from evaluation.adaptive.strongest.settings import GradientAttack
from evaluation.evasion.config import EvasionConfig
from evaluation.evasion.experiment import EvasionExperiment
from evaluation.evasion.results import EvasionResults
from evaluation.experiment.material.clock import Clock
from evaluation.workspace import Workspace
from mutant_guard.bank.cores import available_cores
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_guard.store.reader import CURRENT, Store, load_store
from mutant_store.build import BuildSettings, build
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.model_source import ModelSource
from mutant_store.pool.selection import SelectionSettings
from mutant_store.reporter import Reporter
from mutant_store.retraining.settings import RetrainSettings
from mutant_store.robust.settings import RobustSettings

_MODELS = Path(__file__).parents[1] / "models"
_TRAINING = "training"
_RATES = (0.05, 0.01)
_ACCURACY_RATIO = 0.5
"""Least accuracy of a mutant as a share of the original's: small networks are to be seen as well."""


@dataclass(frozen=True)
class _Subject:
    """Classifier, its data below a folder, and how its stores are attacked."""

    weights: str
    train: str
    calibration: str
    attacked: str
    sizes: tuple[float, ...]
    images: int
    attack: GradientAttack
    ways: dict[str, RobustSettings]


SUBJECTS = {
    "mnist": _Subject(
        "mnist-lenet.safetensors",
        "mnist:{data}/mnist@train[0:50000]",
        "mnist:{data}/mnist@holdout",
        "mnist:{data}/mnist@train[50000:55000]",
        (0.1, 0.2, 0.3),
        200,
        GradientAttack(name="joint", method="apgd", runs=5, steps=60),
        {
            "pgd": RobustSettings(),
            "fast": RobustSettings(method="fast"),
            "trades": RobustSettings(method="trades"),
            "ccat": RobustSettings(method="ccat"),
            "pgd, joint": RobustSettings(joint=True),
            "pgd, width 2": RobustSettings(width=2),
            "pgd, two networks": RobustSettings(ensemble=2),
            "pgd, LeNet itself": RobustSettings(architecture="original"),
            "certified": RobustSettings(method="certified"),
        },
    ),
    "cifar10": _Subject(
        "cifar10-resnet20.safetensors",
        "imagefolder:{data}/cifar10@train[0:42500]",
        "imagefolder:{data}/cifar10@holdout",
        "imagefolder:{data}/cifar10@train[42500:45000]",
        (2 / 255, 4 / 255, 8 / 255),
        100,
        GradientAttack(name="joint", method="apgd", runs=2, steps=40, targets=3),
        {
            "fast": RobustSettings(),
            "fast, 2 epochs": RobustSettings(epochs=2),
            "fast, 7 epochs": RobustSettings(epochs=7),
            "fast, distilled, 2 epochs": RobustSettings(epochs=2, distill=3.0),
            "fast, two networks, 2 epochs": RobustSettings(epochs=2, ensemble=2),
            "fast, one look, 2 epochs": RobustSettings(epochs=2, mirror=False),
            "fast, strided": RobustSettings(architecture="strided"),
            "pgd": RobustSettings(method="pgd", steps=2),
            "trades": RobustSettings(method="trades", steps=2),
            "ccat": RobustSettings(method="ccat", steps=3),
            "fast, joint": RobustSettings(joint=True),
            "fast, ε 8": RobustSettings(epsilon=8 / 255),
        },
    ),
}
"""Classifiers by the name of their data."""


def measure(
    name: str,
    data: Path,
    work: Path,
    quick: bool,
    say: Callable[[str], None],
    ways: Sequence[str] | None = None,
) -> Section:
    """Train by every way, and attack; what an earlier run has made in ``work`` is taken over.

    Args:
        name: name of the data, one of ``SUBJECTS``.
        data: folder with ``mnist`` and ``cifar10``.
        work: folder of the stores and of attacked images.
        quick: whether training takes two epochs, and few images are attacked.
        say: callback that is told what is going on.
        ways: names of the ways that are measured; None measures all.

    Raises:
        GuardError: a store cannot be built or attacked.
    """
    subject, report = SUBJECTS[name], Told(say)
    rows, figures = [], []
    for way in subject.ways if ways is None else ways:
        report.step(f"{name}: {way}")
        path = work / name / way.replace(" ", "-").replace(",", "")
        store = _built(subject, subject.ways[way], data, path / "store", quick, report)
        results = _attacked(subject, store, data, path, quick, report)
        minutes = Clock(path / "seconds.json").seconds[_TRAINING] / 60
        rows.append([way, f"{minutes:.1f}", *_row(store, results)])
        figures += _figures(name, way, results)
    attack = _attack(subject, quick)
    columns = ["way", "minutes", "work", "accuracy", *(f"b₁ at {rate:.0%}" for rate in _RATES)]
    columns += [f"{size:.3g} at {rate:.0%}" for rate in _RATES for size in subject.sizes]
    notes = [
        "Minutes are those of the build, most of them of training; work is the mutant's for an image, as a multiple of "
        "the classifier's. b₁ is the doubt at which the mutant alone raises an alarm, certified for that rate of false "
        "alarms. The other columns are shares of images that evade at a size.",
        f"Attacked are {results.cells[0].images} training images that were held back, by who holds the store, with "
        f"{attack.runs} runs of {attack.steps} gradients to {attack.targets or 'all'} wrong labels, for each size.",
    ]
    return Section(
        f"Robust mutants: {name}", [Table(f"Ways of training, {name}", columns, rows, notes)], figures
    )


def _built(
    subject: _Subject, robust: RobustSettings, data: Path, out: Path, quick: bool, report: Reporter
) -> Store:
    if not (out / CURRENT).exists():
        few = RobustSettings(**{**vars(robust), "epochs": 2}) if quick else robust
        settings = BuildSettings(
            operator="robust",
            selection=SelectionSettings(None, 2, 0, _ACCURACY_RATIO, jobs=available_cores()),
            input=InputOptions(),
            calibration=CalibrationSettings(),
            retraining=RetrainSettings(train_data=subject.train.format(data=data)),
            robust=few,
        )
        with Clock(out.parent / "seconds.json").measured(_TRAINING):
            source = ModelSource(str(_MODELS / subject.weights))
            build(source, subject.calibration.format(data=data), out, settings, report)
    return load_store(out)


def _attack(subject: _Subject, quick: bool) -> GradientAttack:
    return subject.attack.model_copy(update={"runs": 2, "steps": 20} if quick else {})


def _attacked(
    subject: _Subject, store: Store, data: Path, work: Path, quick: bool, report: Reporter
) -> EvasionResults:
    attack = _attack(subject, quick)
    config = EvasionConfig(
        title="Ways of training",
        data=subject.attacked,
        images=20 if quick else subject.images,
        sizes=subject.sizes,
        false_alarms=_RATES,
        attacks=(attack,),
        sanity_images=1,
        block=50,
    )
    return EvasionExperiment("ways", config, data, store, None, Workspace(work), report).run()


def _row(store: Store, results: EvasionResults) -> list[str]:
    bounds = {policy.name: policy.alarms_first for policy in results.policies}
    names = list(bounds)
    evading = [
        f"{cell.evading.value:.3f}"
        for name in names
        for cell in results.cells
        if cell.policy == name and cell.attack == "joint"
    ]
    (mutant,) = store.manifest.robust
    work = f"{mutant.relative_cost:.2f}"
    return [work, f"{store.manifest.accuracies[0]:.2%}", *(f"{bounds[name]:.3f}" for name in names), *evading]


def _figures(name: str, way: str, results: EvasionResults) -> list[Figure]:
    words = "".join(letter if letter.isalnum() else "_" for letter in f"{name} {way}".lower())
    return [
        Figure(f"{words}_evading_{cell.size:.3f}_at_{cell.policy.split()[0]}_percent", cell.evading.value, "")
        for cell in results.cells
        if cell.attack == "joint"
    ]
