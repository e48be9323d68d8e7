"""Findings: a row a kind, the guard beside the softmax confidence, which costs nothing."""

from evaluation.experiment.records.record import Interval
from evaluation.report.cells import LABEL_CHANGE_RATE, SOFTMAX, Cells, best, setting_name
from evaluation.report.comparison import MARKS, WORDS, Order, compare, orders
from evaluation.report.markdown import MISSING, code, link, percent, table
from evaluation.report.tables.baseline_tables import AT_5, METHODS

SOFTMAX_TABLE = "against-softmax"


def compared(cells: Cells) -> list[Order]:
    """Return the order of the best label change rate of each kind and softmax confidence."""
    return orders(
        (_detected(cells, cells.most_detected(cells.label_change_rates, kind), kind), _free(cells, kind))
        for kind in cells.suspicious
    )


def softmax_table(cells: Cells) -> str:
    """Return the table and how to read it; nothing where softmax confidence has no cells."""
    kinds = [kind for kind in cells.suspicious if _free(cells, kind) is not None]
    if not kinds or SOFTMAX not in cells.methods:
        return ""
    policy = None if cells.default is None else setting_name(cells.default)
    rows = [_row(cells, policy, kind) for kind in kinds]
    means = len(kinds) == len(cells.suspicious) > 1
    if means:
        rows.append(_means(cells, policy))
    head = ["Kind", SOFTMAX, "best label change rate", f"default: {policy or MISSING}"]
    head += ["best other, not trained on attacks", "label change rate is"]
    kept = [place for place, column in enumerate(zip(*rows, strict=True)) if set(column) != {MISSING}]
    shown = [[line[place] for place in kept] for line in [head, *rows]]
    return "\n\n".join([_about(cells, policy, means=means), table(shown[0], shown[1:])])


def _about(cells: Cells, policy: str | None, *, means: bool) -> str:
    alarms = [
        f"{code(name)} {percent(cells.methods[name].false_alarms_5.value)}"
        for name in (SOFTMAX, policy)
        if name is not None
    ]
    return (
        "Detected at 5 % false alarms, a policy's at its own; on test images they came to "
        f"{', '.join(alarms)} ({link(METHODS, 'all')}). *better*, *worse* and ▲, ▼: than softmax confidence, the 95 % "
        "intervals lie apart; *level* or no mark: they overlap. The best of a row was chosen afterwards, which "
        f"favours it{'; the last row takes one detector for all kinds' if means else ''}."
    )


def _row(cells: Cells, policy: str | None, kind: str) -> list[str]:
    free = _free(cells, kind)
    rate = cells.most_detected(cells.label_change_rates, kind)
    other = cells.most_detected(cells.others, kind)
    ours, judged = _detected(cells, rate, kind), _detected(cells, policy, kind)
    word = MISSING if ours is None or free is None else WORDS[compare(ours, free)]
    return [
        link(AT_5, kind),
        percent(None if free is None else free.value),
        _named(ours, _short(rate), None),
        _named(judged, "", free),
        _named(_detected(cells, other, kind), other or "", free),
        word,
    ]


def _means(cells: Cells, policy: str | None) -> list[str]:
    """Return the row of one detector for all kinds, the best in the mean."""
    rate, other = (best(names, cells.mean_detected) for names in (cells.label_change_rates, cells.others))
    return [
        "*mean*",
        percent(cells.mean_detected(SOFTMAX)),
        *(_mean(cells, name, shown) for name, shown in ((rate, _short(rate)), (policy, ""), (other, other))),
        MISSING,
    ]


def _mean(cells: Cells, name: str | None, shown: str | None) -> str:
    figure = None if name is None else cells.mean_detected(name)
    return MISSING if figure is None else f"{percent(figure)} {shown}".strip()


def _named(figure: Interval | None, name: str, against: Interval | None) -> str:
    if figure is None:
        return MISSING
    mark = "" if against is None else MARKS[compare(figure, against)]
    return f"{percent(figure.value)}{mark} {name}".strip()


def _short(rate: str | None) -> str:
    return (rate or "").removeprefix(LABEL_CHANGE_RATE)


def _detected(cells: Cells, name: str | None, kind: str) -> Interval | None:
    return None if name is None else cells.detected(name, kind)


def _free(cells: Cells, kind: str) -> Interval | None:
    return cells.detected(SOFTMAX, kind)
