"""Detection by the stores: the targets of the experiments with published classifiers."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.sections import Section, Table
from benchmarks.told import Told
from evaluation.experiment.records.results import Results
from evaluation.imagenet.config import read_config
from evaluation.imagenet.experiment import Experiment
from evaluation.report.markdown import interval
from evaluation.workspace import Workspace

CONFIGS = ("imagenet-lite0", "imagenet-lite1", "imagenet-lite2")
_FOLDER = Path(__file__).parents[2] / "evaluation" / "configs"


def measure(data: Path, work: Path, say: Callable[[str], None]) -> list[Section]:
    """Run the experiments; what is kept in their workspaces is not made again.

    Args:
        data: folder with ``imagenet-samples``.
        work: folder of the workspaces.
        say: callback that is told what is going on.

    Raises:
        GuardError: an experiment cannot be run.
    """
    sections = []
    for name in CONFIGS:
        config = read_config(_FOLDER / f"{name}.toml")
        targeted = {target.kind for target in config.targets}
        few = config.model_copy(
            update={
                "attacks": tuple(attack for attack in config.attacks if attack.name in targeted),
                "joint": None,
            }
        )
        say(few.title)
        sections.append(_section(Experiment(name, few, data, Workspace(work / name), Told(say), 0).run()))
    return sections


def _section(results: Results) -> Section:
    rows, figures = [], []
    for cell in results.targets:
        if cell.value is None:
            continue
        figures.append(Figure(_key(results.name, cell.figure, cell.kind), cell.value.value, "", cell.reach))
        met = {True: "met", False: "missed", None: ""}[cell.met]
        reach = "" if cell.reach is None else f"{cell.reach:g}"
        rows.append([cell.kind, cell.figure, cell.method, str(cell.images), interval(cell.value), reach, met])
    head = ["kind", "figure", "detector", "images", "value (95 %)", "target", ""]
    return Section(results.title, [Table("Detection", head, rows)], figures)


def _key(*parts: str) -> str:
    words = "_".join(parts).lower().replace("%", "percent").replace("κ=", "k")
    return "".join(letter if letter.isalnum() else "_" for letter in words)
