"""Findings: which operator and policy to use, which is cheapest, and which detector does better."""

from evaluation.experiment.records.results import NORMAL
from evaluation.report.cells import Cells, best, mean, ranked, setting_name
from evaluation.report.comparison import counted, orders
from evaluation.report.markdown import code, link, listed, number, percent, plain, plural
from evaluation.report.tables.baseline_tables import AT_5, METHODS, POLICIES
from evaluation.report.tables.paper_tables import AUROCS


def choice(cells: Cells) -> list[str]:
    """Return at most four sentences."""
    return [*_operator(cells), *_policy(cells), *_cheapest(cells), *_better(cells)]


def _operator(cells: Cells) -> list[str]:
    main = cells.results.main_rates
    areas = {
        (cell.operator, cell.kind): cell.auroc
        for cell in cells.results.aurocs
        if main.get(cell.operator) == cell.rate
    }

    def score(operator: str) -> float | None:
        found = [areas.get((operator, kind)) for kind in cells.suspicious]
        return mean(None if area is None else area.value for area in found)

    names = ranked(cells.results.operators, score)
    if len(names) < 2:
        return []
    first, second = names[:2]
    apart = orders((areas[first, kind], areas[second, kind]) for kind in cells.suspicious)
    values = ", ".join(f"{code(name)} {number(score(name))}" for name in names)
    level = set(apart) == {"level"}
    none = f", but these images show no difference from {code(second)}" if level else ""
    count = "" if level else f"; {code(first)} against {code(second)}, by intervals: {counted(apart, 'kind')}"
    return [
        f"**Operator:** {code(first)} ranks best{none}. Mean AUROC of the label change rate over "
        f"{plural(len(apart), 'kind')}: {values}{count}. {link(AUROCS)}"
    ]


def _policy(cells: Cells) -> list[str]:
    """Return the sentence on the best of the policies that a server offers."""
    names = {setting_name(setting): setting for setting in cells.settings}
    order = ranked([name for name in names if name in cells.methods], cells.gain)
    if not order:
        return []
    default = None if cells.default is None else setting_name(cells.default)
    shown = [order[0], *([default] if default in order[1:] else [])]
    figures = [f"{code(name)} {_figures(cells, name, names[name])}" for name in shown]
    is_default = ", the default" if order[0] == default else ""
    return [
        f"**Policy:** by mean detection over all kinds less false alarms, {code(order[0])}{is_default} does best of "
        f"{plural(len(order), 'setting')}: {'; '.join(figures)}. {link(POLICIES)}"
    ]


def _figures(cells: Cells, name: str, setting: tuple[str, str]) -> str:
    normal = cells.policy(setting, NORMAL)
    mutants = "" if normal is None else f" with {plain(normal.mean_mutants)} mutants a normal image"
    return f"detects {percent(cells.mean_detected(name))} at {_alarms(cells, name)}{mutants}"


def _cheapest(cells: Cells) -> list[str]:
    name = min(cells.ours, key=lambda name: cells.methods[name].forward_passes, default=None)
    if name is None:
        return []
    detected = cells.mean_detected(name)
    found = "" if detected is None else f"; it detects {percent(detected)} at {_alarms(cells, name)}"
    return [f"**Cheapest of ours:** {code(name)} with {_cost(cells, name)}{found}. {link(METHODS)}"]


def _better(cells: Cells) -> list[str]:
    """Return the sentence on the best of the others.

    It is called better where both its mean and its kinds say so.
    """
    ours, other = best(cells.ours, cells.gain), best(cells.others, cells.gain)
    if ours is None or other is None:
        return []
    found = orders((cells.detected(other, kind), cells.detected(ours, kind)) for kind in cells.suspicious)
    ahead = (cells.gain(other) or 0.0) > (cells.gain(ours) or 0.0)
    better = ahead and found.count("above") > found.count("below")
    said = "A better detector that is not ours" if better else "Best of the others, not trained on attacks"
    sentence = (
        f"**{said}:** {code(other)} detects {percent(cells.mean_detected(other))} at {_alarms(cells, other)} with "
        f"{_cost(cells, other)}; the best of ours, {code(ours)}, {percent(cells.mean_detected(ours))} at "
        f"{_alarms(cells, ours)} with {_cost(cells, ours)}. By intervals {code(other)} is {counted(found, 'kind')}"
    )
    trained = best(cells.trained, cells.gain)
    if trained is not None and (cells.gain(trained) or 0.0) > (cells.gain(ours) or 0.0):
        sentence += (
            f". Trained on attacks, {code(trained)} detects {percent(cells.mean_detected(trained))} at "
            f"{_alarms(cells, trained)}"
        )
    return [f"{sentence}. {link(AT_5)}"]


def _alarms(cells: Cells, name: str) -> str:
    return f"{percent(cells.methods[name].false_alarms_5.value)} false alarms"


def _cost(cells: Cells, name: str) -> str:
    """Return forward passes and time of a normal image."""
    method = cells.methods[name]
    one = method.forward_passes == 1
    parts = ["1 forward pass" if one else f"{plain(method.forward_passes)} forward passes"]
    if method.milliseconds is not None:
        parts.append(f"{plain(method.milliseconds)} ms")
    return listed(parts)
