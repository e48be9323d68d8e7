"""Tables of mutants that were trained again.

They stand beside other detectors, image by image, and beside their targets.
"""

from collections.abc import Callable, Sequence

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import MethodCell
from evaluation.experiment.records.trained_results import PairedCell, TargetCell, TrainedPool
from evaluation.report.cells import Cells, setting_name, unique
from evaluation.report.markdown import (
    MISSING,
    code,
    interval,
    listed,
    number,
    percent,
    percent_interval,
    plain,
    section,
    table,
)

TARGETS, BESIDE, PAIRED = "targets", "beside", "paired"
EARLY, SUGGESTED, TRAINED = "leaving-early", "suggested-labels", "training"
BETTER, WORSE = " ▲", " ▼"
_POLICY = "calibrated"
_RELATIVES = "[which, and which have none](../../docs/evaluation.md#mutants-that-were-trained)"
_SHARES = {"detected at 5 %", "detected at 1 %", "cleared too early", "evading"}


def trained_sections(cells: Cells) -> list[str]:
    """Return the sections, those that have cells."""
    results = cells.results
    parts = [
        (results.targets, _targets),
        (results.paired, _beside),
        (results.paired, _paired),
        (results.early, _early),
        (results.suggestions, _suggestions),
        (results.trained, _training),
    ]
    return [make(cells) for present, make in parts if present]


def _targets(cells: Cells) -> str:
    head = ["Figure", "Of", "Kind", "Met", "Images", "Prototype", "Asked for", "Measured"]
    return section(
        "What was asked for",
        TARGETS,
        "*Prototype*: what a first try measured before this was built, on other images of the same kinds. A figure is "
        "met by its value; the interval, 95 %, says how far chance may have moved it. Thresholds are those of clean "
        "calibration images.",
        table(head, [_target(cell) for cell in cells.results.targets], text=4),
    )


def _target(cell: TargetCell) -> list[str]:
    share = cell.figure in _SHARES
    shown: Callable[[float | None], str] = percent if share else plain
    words = {True: "met", False: "**missed**", None: MISSING}
    bound = "at most " if cell.at_most else "at least "
    return [
        cell.figure,
        cell.method,
        cell.kind,
        words[cell.met],
        f"{cell.images:,}",
        shown(cell.prototype),
        MISSING if cell.reach is None else bound + shown(cell.reach),
        percent_interval(cell.value) if share else interval(cell.value),
    ]


def compared_with(cells: Cells) -> list[str]:
    """Return the detectors that stand beside the trained mutants, and the trained mutants."""
    paired = cells.results.paired
    policies = [setting_name((_POLICY, cell.operator)) for cell in cells.results.early]
    ours = unique([*(cell.method for cell in paired), *policies])
    return [*unique(cell.other for cell in paired), *(name for name in ours if name in cells.methods)]


def _beside(cells: Cells) -> str:
    names = compared_with(cells)
    passes = [
        ["*forward passes*", MISSING, *(plain(cells.methods[name].forward_passes) for name in names)],
        ["*milliseconds*", MISSING, *(plain(cells.methods[name].milliseconds) for name in names)],
        [
            "*false alarms*",
            MISSING,
            *(percent_interval(cells.methods[name].false_alarms_5) for name in names),
        ],
    ]

    def block(figure: Callable[[MethodCell], str], named: Sequence[str], last: list[list[str]]) -> str:
        rows = [
            [
                kind,
                f"{cells.kinds[kind].images:,}",
                *(figure(cell) if (cell := cells.cell(name, kind)) else MISSING for name in named),
            ]
            for kind in cells.suspicious
            if kind in {cell.kind for cell in cells.results.cells}
        ]
        return table(["Kind", "Images", *named], rows + last)

    scored = [
        name for name in names if any(cell.method == name and cell.auroc for cell in cells.results.cells)
    ]
    return section(
        "Beside other detectors",
        BESIDE,
        "Detection at 5 % false alarms, a policy's at its own, with what each costs a normal image; *doubt* sums the "
        "doubts of all mutants and of the classifier itself.",
        block(lambda cell: percent_interval(cell.detected_5), names, passes),
        "Detection at 1 % false alarms.",
        block(lambda cell: percent_interval(cell.detected_1), scored, []),
        "Area under the ROC curve.",
        block(lambda cell: interval(cell.auroc), scored, []),
    )


def _paired(cells: Cells) -> str:
    paired = cells.results.paired
    parts = []
    for method, other in unique((cell.method, cell.other) for cell in paired):
        found = [cell for cell in paired if (cell.method, cell.other) == (method, other)]
        head = ["Kind", "Images", "At 5 % false alarms", "At 1 %", "AUROC"]
        parts += [f"**{method} less {other}**", table(head, [_difference(cell) for cell in found])]
    return section(
        "Image by image",
        PAIRED,
        "What the one detects less what the other does, in percentage points, each at its own threshold; the images of "
        f"a kind are resampled for both together.{BETTER} the interval is above 0,{WORSE} below.",
        *parts,
    )


def _difference(cell: PairedCell) -> list[str]:
    return [
        cell.kind,
        f"{cell.images:,}",
        *(_points(found) + mark(found) for found in (cell.detected_5, cell.detected_1)),
        _signed(cell.auroc, 1, 3) + mark(cell.auroc),
    ]


def mark(difference: Interval) -> str:
    """Return a mark where chance alone would hardly make a difference of this sign."""
    return BETTER if difference.low > 0 else WORSE if difference.high < 0 else ""


def _points(difference: Interval) -> str:
    return _signed(difference, 100, 1)


def _signed(difference: Interval, scale: float, digits: int) -> str:
    value, low, high = (scale * part for part in (difference.value, difference.low, difference.high))
    return f"{value:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def _early(cells: Cells) -> str:
    parts = []
    early = cells.results.early
    for setting in unique((cell.policy, cell.operator) for cell in early):
        rows = [
            [
                cell.kind,
                percent_interval(cell.adversarial),
                percent_interval(cell.all_mutants),
                percent_interval(cell.lost),
                interval(cell.mutants, 2),
            ]
            for cell in early
            if (cell.policy, cell.operator) == setting
        ]
        head = ["Kind", "Alarms", "With all mutants always", "Cleared too early", "Mutants"]
        parts += [f"**{setting_name(setting)}**", table(head, rows)]
    return section(
        "Leaving early",
        EARLY,
        "What the policy answers, what it would if every image met the whole pool under the same threshold, and the "
        "share of all images that it clears although all mutants together would have raised the alarm.",
        *parts,
    )


def _suggestions(cells: Cells) -> str:
    parts = []
    found = cells.results.suggestions
    for setting in unique((cell.policy, cell.operator) for cell in found):
        rows = [
            [
                cell.kind,
                f"{cell.alarms:,}",
                percent_interval(cell.suggested),
                percent_interval(cell.right),
                percent_interval(cell.right_of_all),
                percent(cell.agreed),
            ]
            for cell in found
            if (cell.policy, cell.operator) == setting
        ]
        head = ["Kind", "Alarms", "With a suggestion", "It is right", "Right if all mutants voted"]
        head += ["Mutants that agree on it"]
        parts += [f"**{setting_name(setting)}**", table(head, rows)]
    return section(
        "Suggested labels",
        SUGGESTED,
        "On an alarm: how often the label that most of the consumed mutants agree on, which the server suggests, is "
        "the true one. Alarms are those of all pools; on one that the classifier's own doubt raised before any mutant "
        "was asked there is no suggestion. *If all mutants voted*: on all alarms.",
        *parts,
    )


def _training(cells: Cells) -> str:
    trained = cells.results.trained
    retrained = _told([pool.settings for pool in trained if pool.settings])
    told = f"Settings: {retrained}. " if retrained else ""
    head = [
        "Operator",
        "Seed",
        "Accuracy of the classifier",
        "of the mutants",
        "Temperatures",
        "Threshold",
        "Seconds",
    ]
    rows = [
        [
            pool.operator,
            str(pool.seed),
            percent(pool.original_accuracy, 2),
            f"{percent(min(pool.accuracies), 2)} to {percent(max(pool.accuracies), 2)}",
            listed([number(value, 2) for value in pool.temperatures]),
            number(pool.threshold, 3),
            plain(pool.seconds),
        ]
        for pool in trained
    ]
    return section(
        "How the mutants were trained",
        TRAINED,
        f"{told}Accuracies are those on all calibration images; temperatures those of the "
        "classifier and of the mutants; the threshold is the summed doubt from which "
        f"{code('calibrated')} raises an alarm, in mutants of full doubt; seconds go from the trained classifier to "
        "the published store, beside other work of the machine. Several of the attacks that are measured have a "
        f"relative among those: {_RELATIVES}.",
        table(head, rows, text=2),
        *_robust(trained),
    )


def _robust(trained: Sequence[TrainedPool]) -> list[str]:
    """Return the part on robust mutants, where there are some."""
    found = [(pool, mutant) for pool in trained for mutant in pool.robust]
    if not found:
        return []
    head = ["Operator", "Seed", "Network", "Right", "Right under attack", "Temperature", "Relative cost"]
    head += ["Alone alarms from"]
    rows = [
        [
            pool.operator,
            str(pool.seed),
            mutant.network,
            percent(mutant.accuracy, 2),
            percent(mutant.robust_accuracy, 2),
            number(mutant.temperature, 2),
            plain(mutant.relative_cost),
            number(pool.alone, 3),
        ]
        for pool, mutant in found
    ]
    return [
        f"**Robust mutants.** Settings: {_told([mutant.settings for _, mutant in found])}. What they get right is of "
        "held-back training images; the cost is work for an image, as a multiple of the classifier's. From the last "
        "figure on the doubt of the first mutant alone, with the classifier's weighted own, raises an alarm.",
        table(head, rows, text=3),
    ]


def _told(settings: Sequence[dict[str, object]]) -> str:
    """Return the settings that are the same everywhere, in words."""
    shared = {
        name: value
        for name, value in (settings[0] if settings else {}).items()
        if all(each.get(name) == value for each in settings)
    }
    return ", ".join(f"{name} {_written(value)}" for name, value in shared.items())


def _written(value: object) -> str:
    if isinstance(value, dict):
        return str(value.get("spec", value))
    if isinstance(value, list):
        return "/".join(_written(one) for one in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
