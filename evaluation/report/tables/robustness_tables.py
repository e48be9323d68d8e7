"""Tables of attackers that know the guard, and of images unlike the training data.

These images are no attacks.
"""

from collections.abc import Sequence

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import AdaptiveCell
from evaluation.report.cells import Cells, unique
from evaluation.report.markdown import MISSING, code, listed, percent_interval, picture, section, table

ADAPTIVE, WORST, KNOWN, SHIFTS = "adaptive", "worst-case", "known", "shifts"
WORST_CASE = "worst case"
"""Name of the best of all attacks of an image."""
_WEAK = 0.5
_WEAK_MARK = (
    "† fools the classifier without a guard on fewer than half of the images: what fails there proves nothing about "
    "the guard."
)


def robustness_sections(cells: Cells, pictures: Sequence[str]) -> list[str]:
    """Return the sections, those that have cells."""
    found: list[str] = []
    adaptive, elsewhere = cells.results.adaptive, cells.results.adaptive_report
    if adaptive:
        found.append(_worst(cells, pictures))
        found.append(_attacks(adaptive))
    if elsewhere is not None:
        found.append(_elsewhere(elsewhere))
    if cells.results.shifts:
        found.append(_shifts(cells))
    return found


def _elsewhere(report: str) -> str:
    return section(
        "Attackers who know the guard",
        KNOWN,
        "A store of robust mutants was attacked by who holds all of it, by who has own mutants and by who has the "
        f"answers alone, and what can be proved of it stands beside: [reports/{report}](../{report}/report.md).",
    )


def weak(cell: AdaptiveCell) -> bool:
    """Check whether the attack fools too few images without a guard to show anything about one."""
    return cell.success.value < _WEAK


def _worst(cells: Cells, pictures: Sequence[str]) -> str:
    rows = [_row(cell)[1:] for cell in cells.results.adaptive if cell.attack == WORST_CASE]
    return section(
        "Adaptive attacks, the worst case of each image",
        WORST,
        "Per image the best of all attacks of that knowledge and size. *none*: the attacker knows the classifier "
        "alone; *method*: makes own mutants by the same recipe; *store*: holds the very mutants. "
        "Robust accuracy: share of all images that is labelled rightly or rejected. " + _WEAK_MARK,
        _not_attacked(cells),
        *(picture(name, "Robust accuracy over ε") for name in pictures if name == "adaptive.png"),
        table(_HEAD[1:], rows, text=2) if rows else "",
    )


def _not_attacked(cells: Cells) -> str:
    """Return the remark that the attacks are aimed at the guard alone.

    It is there where other detectors stand beside the guard.
    """
    judged = unique(cell.detector for cell in cells.results.adaptive)
    others = [code(name) for name in judged if name in cells.methods and name not in cells.ours]
    if not others:
        return ""
    was, there = ("was", "it") if len(others) == 1 else ("were", "them")
    return (
        "**Who knows more than the classifier aims at the mutation guard.** "
        f"{listed(others)} {was} not attacked: an attack aimed at {there} may get further, so that these numbers are "
        "no upper bounds that compare with the guard's."
    )


def _attacks(adaptive: Sequence[AdaptiveCell]) -> str:
    single = [cell for cell in adaptive if cell.attack != WORST_CASE]
    parts = []
    for detector in unique(cell.detector for cell in single):
        rows = [[*_row(cell)[:2], *_row(cell)[3:]] for cell in single if cell.detector == detector]
        parts += [f"**{detector}**", table([*_HEAD[:2], *_HEAD[3:]], rows, text=2)]
    return section(
        "Adaptive attacks, one by one",
        ADAPTIVE,
        _WEAK_MARK,
        *parts,
        level=3,
    )


_HEAD = ["Attack", "Knowledge", "Detector", "ε", "Images", "Success without guard"]
_HEAD += ["Detected of those", "Evading", "Robust accuracy"]


def _row(cell: AdaptiveCell) -> list[str]:
    shares: tuple[Interval | None, ...] = (cell.detected, cell.evading, cell.robust_accuracy)
    return [
        cell.attack,
        cell.knowledge,
        cell.detector,
        f"{cell.epsilon:.3g}",
        f"{cell.images:,}",
        percent_interval(cell.success) + (" †" if weak(cell) else ""),
        *(percent_interval(share) for share in shares),
    ]


def _shifts(cells: Cells) -> str:
    shifts = cells.results.shifts
    detectors = unique(name for shift in shifts for name in shift.alarms)
    rows = [
        [
            shift.shift,
            f"{shift.images:,}",
            MISSING if shift.accuracy is None else f"{100 * shift.accuracy:.1f} %",
            *(percent_interval(shift.alarms.get(name)) for name in detectors),
        ]
        for shift in shifts
    ]
    return section(
        "Corruptions and other data",
        SHIFTS,
        "Share of the images that a detector alarms on, at its threshold of 5 % false alarms or its policy's own. "
        "Accuracy is the classifier's; images of other data have no right label.",
        table(["Images of", "Images", "Accuracy", *detectors], rows),
    )
