"""Findings: where the label change rate beats the softmax confidence, which costs nothing."""

from collections.abc import Callable, Sequence

from evaluation.experiment.results import Interval
from evaluation.report.baseline_tables import AT_5, AUROC
from evaluation.report.cells import SOFTMAX, Cells
from evaluation.report.comparison import Order, compare
from evaluation.report.markdown import code, interval, link, number, percent, percent_interval, plural

_Figure = Callable[[str, str], Interval | None]
_Shown = tuple[Callable[[Interval | None], str], Callable[[float], str]]


def against_softmax(cells: Cells) -> list[str]:
    """Sentences on AUROC and on detection, grouped by who is better."""
    rates = cells.label_change_rates
    if SOFTMAX not in cells.methods or not rates:
        return []
    found = [
        *_groups(cells, rates, cells.auroc, ("AUROC", AUROC), (interval, number)),
        *_groups(
            cells, rates, cells.detected, ("detection at 5 % false alarms", AT_5), (percent_interval, percent)
        ),
    ]
    if found and len(rates) > 1:
        names = ", ".join(code(name) for name in rates)
        found.append(
            f"Each kind was given the best for it of {names}, chosen afterwards, which favours the guard. "
            f"{link(AUROC)}"
        )
    return [*found, *_verdicts(cells)]


def _verdicts(cells: Cells) -> list[str]:
    """Policies at their operating point against softmax confidence at 5 %."""
    entries = []
    for name in cells.verdicts:
        pairs = [(cells.detected(name, kind), cells.detected(SOFTMAX, kind)) for kind in cells.suspicious]
        orders = [compare(ours, free) for ours, free in pairs if ours is not None and free is not None]
        if orders:
            alarms = percent(cells.methods[name].false_alarms_5.value)
            more, fewer, level = (orders.count(order) for order in ("above", "below", "level"))
            entries.append(f"{code(name)} ({alarms}) more on {more}, fewer on {fewer}, level on {level}")
    if not entries:
        return []
    alarms = percent(cells.methods[SOFTMAX].false_alarms_5.value)
    return [
        f"The policies, at their own false alarms, against softmax confidence ({alarms} false alarms) detect, in "
        f"kinds: {'; '.join(entries)}. {link(AT_5)}"
    ]


def _groups(
    cells: Cells, rates: Sequence[str], figure: _Figure, subject: tuple[str, str], form: _Shown
) -> list[str]:
    name, anchor = subject
    shown, short = form
    groups: dict[Order, list[str]] = {"above": [], "below": [], "level": []}
    for kind in cells.suspicious:
        free = figure(SOFTMAX, kind)
        ours = {rate: value for rate in rates if (value := figure(rate, kind)) is not None}
        if free is None or not ours:
            continue
        best = max(ours, key=lambda rate: ours[rate].value)
        order = compare(ours[best], free)
        figures = [(short(each.value) if order == "level" else shown(each)) for each in (ours[best], free)]
        groups[order].append(f"{kind} {figures[0]} against {figures[1]} ({code(best)})")
    compared = sum(len(entries) for entries in groups.values())
    said: dict[Order, str] = {
        "above": "the label change rate beats softmax confidence",
        "below": "softmax confidence beats the label change rate",
        "level": "these images could show no difference",
    }
    if not compared:
        return []
    lines = []
    for order, entries in groups.items():
        listed = f": {'; '.join(entries)}" if entries else ""
        count = f"{len(entries)} of {plural(compared, 'kind')}"
        lines.append(f"{name[0].upper()}{name[1:]}: on {count} {said[order]}{listed}. {link(anchor)}")
    return lines
