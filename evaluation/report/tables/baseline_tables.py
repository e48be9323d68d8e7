"""Tables of our detectors and others' on the same images."""

from collections.abc import Callable, Iterator, Sequence

from evaluation.experiment.records.results import Method, MethodCell, PolicyCell
from evaluation.report.cells import Cells, unique
from evaluation.report.markdown import (
    MISSING,
    bullets,
    code,
    details,
    interval,
    number,
    percent,
    percent_interval,
    picture,
    plain,
    section,
    table,
)

METHODS, POLICIES = "methods", "policies"
AUROC, AT_5, AT_1, MATTHEWS = "auroc-by-method", "detected-at-5", "detected-at-1", "mcc"
_ACROSS = 9
_ACROSS_INTERVALS = 5
_PICTURES = {
    "roc.png": "Detection over false alarms, a panel a kind",
    "cost.png": "Detection over forward passes",
    "confidence.png": "Softmax confidence against label change rate",
}
_Figure = Callable[[MethodCell], float | None]
_Written = Callable[[MethodCell], str]


def baseline_sections(cells: Cells, pictures: Sequence[str]) -> list[str]:
    """Return the sections, those that have cells."""
    found: list[str] = []
    if cells.results.methods:
        found.append(_methods(cells, pictures))
    if cells.results.cells:
        found += [
            _by_kind(
                cells,
                ("AUROC", AUROC),
                "Normal images against a kind.",
                lambda cell: None if cell.auroc is None else cell.auroc.value,
                lambda cell: interval(cell.auroc),
            ),
            _by_kind(
                cells,
                ("Detection at 5 % false alarms", AT_5),
                "Share above the threshold that 5 % of clean calibration images pass; a policy's at its own.",
                lambda cell: cell.detected_5.value,
                lambda cell: percent_interval(cell.detected_5),
                percent,
            ),
            _by_kind(
                cells,
                ("Detection at 1 % false alarms", AT_1),
                "Share above the threshold that 1 % of clean calibration images pass.",
                lambda cell: None if cell.detected_1 is None else cell.detected_1.value,
                lambda cell: percent_interval(cell.detected_1),
                percent,
            ),
            _by_kind(
                cells,
                ("Matthews correlation", MATTHEWS),
                "At the threshold of 5 % false alarms.",
                lambda cell: cell.matthews,
                None,
            ),
        ]
    if cells.results.policies:
        found.append(_policies(cells, pictures))
    return found


def _methods(cells: Cells, pictures: Sequence[str]) -> str:
    head = ["Method", "Family", "Forward passes", "Milliseconds"]
    head += ["False alarms, asked 1 %: found", "False alarms, asked 5 %: found"]
    return section(
        "Detectors",
        METHODS,
        "Families: *ours*; *free* of any cost beyond the label's own pass; *clean*: needs clean data or more passes; "
        "*attacks*: trained on attacks. Forward passes include the label's own. Thresholds are set on clean "
        "calibration images so that 1 % or 5 % of them raise an alarm; *found* is what other clean images raise at "
        "them. A policy is asked for what its store was told.",
        table(head, [_method(method) for method in cells.results.methods], text=2),
        details("How each differs from its publication, and other notes", bullets(_notes(cells))),
        *(picture(name, _PICTURES[name]) for name in pictures if name in _PICTURES),
    )


def _method(method: Method) -> list[str]:
    return [
        method.name,
        method.family,
        plain(method.forward_passes),
        plain(method.milliseconds),
        percent_interval(method.false_alarms_1),
        percent_interval(method.false_alarms_5),
    ]


def _notes(cells: Cells) -> list[str]:
    """Return each note once, behind the names of the methods that it is about."""
    methods = cells.results.methods
    return [
        f"{', '.join(code(method.name) for method in methods if method.note == note)}: {' '.join(note.split())}"
        for note in unique(method.note for method in methods)
        if note.strip()
    ]


def _by_kind(
    cells: Cells,
    title: tuple[str, str],
    about: str,
    figure: _Figure,
    written: _Written | None,
    rounded: Callable[[float | None], str] = number,
) -> str:
    """Return a table with methods down and kinds across, a number of kinds at a time.

    The intervals stand below, folded away.
    """
    kinds = cells.in_order(cells.results.cells)
    known = {cell.method for cell in cells.results.cells if figure(cell) is not None}
    names = [name for name in cells.methods if name in known]
    best = {kind: _best(cells, names, kind, figure) for kind in kinds}

    def short(name: str, kind: str) -> str:
        cell = cells.cell(name, kind)
        value = None if cell is None else figure(cell)
        return f"**{rounded(value)}**" if value is not None and value == best[kind] else rounded(value)

    def whole(name: str, kind: str) -> str:
        cell = cells.cell(name, kind)
        return MISSING if cell is None or written is None else written(cell)

    def block(group: Sequence[str], entry: Callable[[str, str], str]) -> str:
        rows = [[name, *(entry(name, kind) for kind in group)] for name in names]
        return table(["Method", *group], rows)

    return section(
        *title,
        about + " Bold: the best of those that are not trained on attacks.",
        *(block(group, short) for group in _groups(kinds, _ACROSS)),
        details("With intervals, 95 %", *(block(group, whole) for group in _groups(kinds, _ACROSS_INTERVALS)))
        if written
        else "",
        level=3,
    )


def _best(cells: Cells, names: Sequence[str], kind: str, figure: _Figure) -> float | None:
    found = [
        figure(cell)
        for name in names
        if cells.methods[name].family != "attacks" and (cell := cells.cell(name, kind)) is not None
    ]
    return max((value for value in found if value is not None), default=None)


def _groups(names: Sequence[str], across: int) -> Iterator[Sequence[str]]:
    """Yield groups of about the same size, none above ``across``."""
    count = -(-len(names) // across)
    for place in range(count):
        yield names[place * len(names) // count : (place + 1) * len(names) // count]


def _policies(cells: Cells, pictures: Sequence[str]) -> str:
    kinds = cells.in_order(cells.results.policies)
    head = ["Kind", "Adversarial", "Undecided", "Mean mutants"]
    parts = []
    for setting in cells.settings:
        policy, operator = setting
        found = [cell for kind in kinds if (cell := cells.policy(setting, kind)) is not None]
        parts += [f"**{policy}, {operator}**", table(head, [_answers(cell) for cell in found])]
    return section(
        "Policies of the store that is served",
        POLICIES,
        "What the server answers, over all pools.",
        *(picture(name, "Mutants that a verdict took") for name in pictures if name == "mutants-used.png"),
        *parts,
    )


def _answers(cell: PolicyCell) -> list[str]:
    shares = percent_interval(cell.adversarial), percent_interval(cell.undecided)
    return [cell.kind, *shares, plain(cell.mean_mutants)]
