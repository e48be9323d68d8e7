"""Findings: what no setting catches, who gets past the guard, and how far the figures can be relied on."""

from collections.abc import Iterable

from evaluation.experiment.results import NORMAL, AdaptiveCell, Interval
from evaluation.report.baseline_tables import AT_5, METHODS
from evaluation.report.cells import Cells, mean, unique
from evaluation.report.comparison import Order, compare_with_paper
from evaluation.report.markdown import code, link, listed, percent, percent_interval, plain, plural
from evaluation.report.paper_tables import AUROCS, DETECTION, DIFFERENCES, RATES
from evaluation.report.robustness_tables import ADAPTIVE, SHIFTS, WORST, WORST_CASE, weak
from evaluation.report.setup import AGREEMENT, FOLDING

_CAUGHT = 0.5
_ASKED = 0.05


def limits(cells: Cells) -> list[str]:
    """Sentences on blind spots, adaptive attacks, shifts, false alarms and agreement with paper and server."""
    return [
        *_uncaught(cells),
        *_adaptive(cells),
        *_shifts(cells),
        *_false_alarms(cells),
        *_paper(cells),
        *_server(cells),
    ]


def _uncaught(cells: Cells) -> list[str]:
    """Kinds that no detector finds unless it was trained on attacks."""
    best: dict[str, tuple[float, str]] = {}
    missed = []
    for kind in cells.suspicious:
        found = _detections(cells, kind, trained=False)
        if not found:
            continue
        best[kind] = max(found)
        if best[kind][0] <= _CAUGHT:
            share, name = best[kind]
            entry = f"{kind} (at most {percent(share)}, {code(name)}"
            trained = max(_detections(cells, kind, trained=True), default=None)
            if trained is not None:
                entry += f"; trained on attacks {percent(trained[0])}, {code(trained[1])}"
            missed.append(entry + ")")
    if not best:
        return []
    bound = f"more than {_CAUGHT:.0%}".replace("%", " %")
    if missed:
        return [
            f"What nothing here catches: no detector that is not trained on attacks detects {bound}, at 5 % false "
            f"alarms (a policy at its own), of {plural(len(missed), 'kind')} of {len(best)}: "
            f"{'; '.join(missed)}. {link(AT_5)}"
        ]
    least = min(best, key=lambda kind: best[kind][0])
    return [
        f"Every kind is detected at {bound}, at 5 % false alarms, by some detector not trained on attacks; the least "
        f"is {least} with {percent(best[least][0])} ({code(best[least][1])}). {link(AT_5)}"
    ]


def _detections(cells: Cells, kind: str, *, trained: bool) -> list[tuple[float, str]]:
    return [
        (figure.value, name)
        for name, method in cells.methods.items()
        if (method.family == "attacks") == trained and (figure := cells.detected(name, kind)) is not None
    ]


def _adaptive(cells: Cells) -> list[str]:
    """The worst case of each detector and knowledge, where something fools the classifier at all."""
    lines = []
    worst = [cell for cell in cells.results.adaptive if cell.attack == WORST_CASE]
    for detector in unique(cell.detector for cell in worst):
        of_detector = [cell for cell in worst if cell.detector == detector]
        entries = [
            _least(cell for cell in of_detector if cell.knowledge == knowledge)
            for knowledge in unique(cell.knowledge for cell in of_detector)
        ]
        lines.append(
            f"Adaptive attacks, worst case of each image, against {code(detector)}: {'; '.join(entries)}. {link(WORST)}"
        )
    proofless = unique(
        (cell.attack, cell.knowledge)
        for cell in cells.results.adaptive
        if cell.attack != WORST_CASE and weak(cell)
    )
    if proofless:
        named = [
            f"{attack} ({knowledge}, ε {_sizes(cells, attack, knowledge)})" for attack, knowledge in proofless
        ]
        lines.append(
            "Prove little, since they fool the classifier on fewer than half of the images even without a guard: "
            f"{'; '.join(named)}. {link(ADAPTIVE)}"
        )
    return lines


def _sizes(cells: Cells, attack: str, knowledge: str) -> str:
    """Sizes at which an attack proves little."""
    sizes = {
        cell.epsilon
        for cell in cells.results.adaptive
        if (cell.attack, cell.knowledge) == (attack, knowledge) and weak(cell)
    }
    return ", ".join(f"{size:.3g}" for size in sorted(sizes))


def _least(cells: Iterable[AdaptiveCell]) -> str:
    cell = min(cells, key=lambda cell: (cell.robust_accuracy.value, cell.epsilon))
    detected = "" if cell.detected is None else f", {percent(cell.detected.value)} of those detected"
    little = ", too few to prove anything" if weak(cell) else ""
    return (
        f"knowing {_KNOWLEDGE.get(cell.knowledge, cell.knowledge)}, robust accuracy "
        f"{percent_interval(cell.robust_accuracy)} at ε {cell.epsilon:.3g} "
        f"(success without the guard {percent(cell.success.value)}{detected}{little})"
    )


_KNOWLEDGE = {"none": "the classifier alone", "method": "the method", "store": "the very mutants"}


def _shifts(cells: Cells) -> list[str]:
    shifts = cells.results.shifts
    lines = []
    for detector in unique(name for shift in shifts for name in shift.alarms):
        alarms = {shift.shift: shift.alarms[detector].value for shift in shifts if detector in shift.alarms}
        fewest, most = min(alarms, key=alarms.__getitem__), max(alarms, key=alarms.__getitem__)
        spread = f"from {percent(alarms[fewest])} ({fewest}) to {percent(alarms[most])} ({most})"
        lines.append(f"{code(detector)} alarms on corrupted and other images {spread}. {link(SHIFTS)}")
    return lines


def _false_alarms(cells: Cells) -> list[str]:
    """Of detectors with a threshold, and of policies, which ask for what their store was told."""
    ranked = {m.name: m.false_alarms_5 for m in cells.methods.values() if m.name not in cells.verdicts}
    given = {m.name: m.false_alarms_5 for m in cells.methods.values() if m.name in cells.verdicts}
    lines = []
    if ranked:
        above = [code(name) for name, figure in ranked.items() if figure.low > _ASKED]
        off = f"; clearly more than that: {listed(above)}" if above else "; none is clearly above that"
        lines.append(
            f"False alarms in fact, where 5 % were asked for: {_range(ranked)}{off}. {link(METHODS)}"
        )
    if given:
        lines.append(f"False alarms of the policies, at their own setting: {_range(given)}. {link(METHODS)}")
    return lines


def _range(alarms: dict[str, Interval]) -> str:
    """The fewest and the most."""
    fewest = min(alarms, key=lambda name: alarms[name].value)
    most = max(alarms, key=lambda name: alarms[name].value)
    if fewest == most:
        return f"{percent(alarms[most].value)} ({code(most)})"
    least = f"{percent(alarms[fewest].value)} ({code(fewest)})"
    return f"from {least} to {percent(alarms[most].value)} ({code(most)})"


def _paper(cells: Cells) -> list[str]:
    results = cells.results
    rates = [compare_with_paper(cell.mean, cell.paper) for cell in results.label_change_rates if cell.paper]
    areas = [compare_with_paper(c.auroc, c.paper) for c in results.aurocs if c.paper is not None]
    lines = [*_counts("mean label change rates", rates, RATES), *_counts("AUROCs", areas, AUROCS)]
    lines += _algorithm(cells)
    open_ones = sum(cell.explanation is None for cell in results.differences)
    if open_ones:
        of = plural(len(results.differences), "difference")
        lines.append(
            f"Of {of} from the paper, {open_ones} {'is' if open_ones == 1 else 'are'} not explained. "
            f"{link(DIFFERENCES)}"
        )
    if results.folded:
        lines.append(
            "Batch normalisation was folded, so a rate is not quite the paper's mutation. "
            + link(FOLDING, "why")
        )
    return lines


def _algorithm(cells: Cells) -> list[str]:
    """Algorithm 1 at ρ = 1 beside the paper's averages."""
    at_one = {(cell.operator, cell.kind): cell for cell in cells.results.detection if cell.rho == 1}
    entries = []
    for paper in cells.results.paper_detection:
        found = [at_one.get((paper.operator, kind)) for kind in cells.attacks_of_paper]
        attacks = [cell for cell in found if cell is not None]
        normal = at_one.get((paper.operator, NORMAL))
        if normal is None or not attacks or len(attacks) < len(found):
            continue
        right = percent(mean(cell.forced.value for cell in attacks))
        mutants = plain(mean(cell.mean_mutants for cell in attacks))
        entries.append(
            f"{paper.operator} {right} of attacks right in {mutants} mutants and {percent(normal.forced.value)} of "
            f"normal images (the paper {percent(paper.accuracy)}, {plain(paper.mutants)} and {percent(paper.normal)})"
        )
    if not entries:
        return []
    return [
        f"Algorithm 1 at ρ = 1, an exhausted pool decided by its rate: {'; '.join(entries)}. {link(DETECTION)}"
    ]


def _counts(what: str, orders: list[Order], anchor: str) -> list[str]:
    if not orders:
        return []
    return [
        f"Of {len(orders)} {what} that the paper has, too, {orders.count('level')} agree within the intervals, "
        f"{orders.count('above')} of ours are above the paper's and {orders.count('below')} below. {link(anchor)}"
    ]


def _server(cells: Cells) -> list[str]:
    cells_posted = cells.results.agreement
    posted = sum(cell.posted for cell in cells_posted)
    if not posted:
        return []
    same = sum(cell.same for cell in cells_posted)
    return [
        f"Of {plural(posted, 'image')} posted to the real server, {same:,} got the evaluation's answer. "
        f"{link(AGREEMENT)}"
    ]
