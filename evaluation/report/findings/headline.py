"""Findings: the few sentences for a reader that reads no more."""

from evaluation.experiment.records.results import NORMAL
from evaluation.report.cells import SOFTMAX, Cells, setting_name, unique, value_of
from evaluation.report.comparison import counted, orders
from evaluation.report.findings.attackers import bad_case
from evaluation.report.findings.softmax import SOFTMAX_TABLE, compared
from evaluation.report.markdown import code, link, listed, percent, plain
from evaluation.report.tables.baseline_tables import AT_5, METHODS


def headline(cells: Cells) -> list[str]:
    """Return at most four sentences."""
    return [*_against_softmax(cells), *_cost(cells), *_missed(cells), *_attacked(cells)]


def _against_softmax(cells: Cells) -> list[str]:
    found = compared(cells)
    clauses = []
    if found:
        choice = ", taking the best operator for each kind," if len(cells.label_change_rates) > 1 else ""
        clauses.append(f"at 5 % false alarms the label change rate{choice} is {counted(found, 'kind')}")
    if cells.default is not None and SOFTMAX in cells.methods:
        name = setting_name(cells.default)
        judged = orders((cells.detected(name, k), cells.detected(SOFTMAX, k)) for k in cells.suspicious)
        if judged:
            alarms = percent(cells.methods[name].false_alarms_5.value)
            clauses.append(
                f"the default policy {code(name)}, at its own {alarms} false alarms, is {counted(judged, 'kind')}"
            )
    if not clauses:
        return []
    return [f"**Against softmax confidence, which is free:** {'; '.join(clauses)}. {link(SOFTMAX_TABLE)}"]


def _cost(cells: Cells) -> list[str]:
    if cells.default is None:
        return []
    name = setting_name(cells.default)
    method, normal = cells.methods[name], cells.policy(cells.default, NORMAL)
    asked = [] if normal is None else [f"{plain(normal.mean_mutants)} mutants"]
    if method.milliseconds is not None:
        asked.append(f"{plain(method.milliseconds)} ms")
    if not asked:
        return []
    sentence = (
        f"**Cost:** {code(name)} takes {listed(asked)} a normal image and raises "
        f"{percent(method.false_alarms_5.value)} false alarms"
    )
    if (detected := cells.mean_detected(name)) is not None:
        sentence += f"; it detects {percent(detected)}, mean over the kinds"
        if (free := cells.mean_detected(SOFTMAX)) is not None:
            sentence += f", where softmax confidence, without any mutant, detects {percent(free)}"
    return [f"{sentence}. {link(METHODS)}"]


def _missed(cells: Cells) -> list[str]:
    if cells.default is None:
        return []
    name = setting_name(cells.default)
    shares = {kind: figure.value for kind in cells.suspicious if (figure := cells.detected(name, kind))}
    if not shares:
        return []
    kind = min(shares, key=shares.__getitem__)
    named = unique(other for other in (SOFTMAX, cells.most_detected(cells.others, kind)) if other)
    elsewhere = [
        f"{code(other)} {percent(share)}"
        for other in named
        if (share := value_of(cells.detected(other, kind))) is not None
    ]
    more = f" ({', '.join(elsewhere)})" if elsewhere else ""
    return [f"**Missed most:** of {kind}, {code(name)} detects {percent(shares[kind])}{more}. {link(AT_5)}"]


def _attacked(cells: Cells) -> list[str]:
    sentence = bad_case(cells)
    return [f"**Attackers who know the method:** {sentence}"] if sentence else []
