"""Findings: which operator, policy and detector does best, and what they cost."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from evaluation.experiment.results import NORMAL, Method
from evaluation.report.baseline_tables import AT_5, AUROC, METHODS, POLICIES
from evaluation.report.cells import Cells, mean
from evaluation.report.markdown import code, link, number, percent, plain, plural
from evaluation.report.paper_tables import AUROCS

_T = TypeVar("_T")


def choice(cells: Cells) -> list[str]:
    """Sentences on operators, policies, detectors and cost."""
    return [*_operators(cells), *_policies(cells), *_detectors(cells), *_cheapest(cells)]


def _ranked(names: Sequence[_T], score: Callable[[_T], float | None]) -> list[tuple[_T, float]]:
    """Those that have a score, best first."""
    scores = [(name, value) for name in names if (value := score(name)) is not None]
    return sorted(scores, key=lambda pair: -pair[1])


def _operators(cells: Cells) -> list[str]:
    main = cells.results.main_rates
    aurocs = {
        (cell.operator, cell.kind): cell.auroc.value
        for cell in cells.results.aurocs
        if main.get(cell.operator) == cell.rate
    }
    lines = []
    for group, kinds in _kinds(cells).items():
        scores = _ranked(
            cells.results.operators,
            lambda operator, kinds=kinds: mean(aurocs.get((operator, kind)) for kind in kinds),  # type: ignore[misc]
        )
        if scores:
            listed = ", ".join(f"{name} (γ {main[name]:g}) {number(value)}" for name, value in scores)
            lines.append(
                f"Operators by the mean AUROC of their label change rate over {group}: {listed}. {link(AUROCS)}"
            )
    return lines


def _kinds(cells: Cells) -> dict[str, list[str]]:
    """The paper's kinds, and all, if those are more."""
    found = {"the paper's kinds": cells.of_paper} if cells.of_paper else {}
    if len(cells.suspicious) > len(cells.of_paper):
        found[f"all {plural(len(cells.suspicious), 'kind')}"] = cells.suspicious
    return found


def _policies(cells: Cells) -> list[str]:
    lines = []
    best: list[tuple[str, str]] = []
    for group, kinds in _kinds(cells).items():
        scores = _ranked(
            cells.settings,
            lambda setting, kinds=kinds: _gain(cells, setting, kinds),  # type: ignore[misc]
        )
        if not scores:
            continue
        best.append(scores[0][0])
        detected = _detected(cells, scores[0][0], kinds)
        lines.append(
            f"Policies by mean detection less false alarms, over {group}: {code(_name(scores[0][0]))} does best with "
            f"{percent(detected)} detected{_on_normal(cells, scores[0][0])}{_others(scores[1:])}. {link(POLICIES)}"
        )
    costs = _ranked(cells.settings, lambda setting: _mutants(cells, setting))
    if costs:
        listed = ", ".join(f"{code(_name(setting))} {plain(mutants)}" for setting, mutants in reversed(costs))
        lines.append(f"Mean mutants on a normal image: {listed}. {link(POLICIES)}")
    return lines


def _name(setting: tuple[str, str]) -> str:
    policy, operator = setting
    return policy if policy.endswith(f" {operator}") else f"{policy} {operator}"


def _mutants(cells: Cells, setting: tuple[str, str]) -> float | None:
    normal = cells.policy(setting, NORMAL)
    return None if normal is None else normal.mean_mutants


def _detected(cells: Cells, setting: tuple[str, str], kinds: Sequence[str]) -> float | None:
    found = [cells.policy(setting, kind) for kind in kinds]
    return mean(None if cell is None else cell.adversarial.value for cell in found)


def _gain(cells: Cells, setting: tuple[str, str], kinds: Sequence[str]) -> float | None:
    normal, detected = cells.policy(setting, NORMAL), _detected(cells, setting, kinds)
    return None if normal is None or detected is None else detected - normal.adversarial.value


def _on_normal(cells: Cells, setting: tuple[str, str]) -> str:
    normal = cells.policy(setting, NORMAL)
    if normal is None:
        return ""
    mutants = plain(normal.mean_mutants)
    return f", {percent(normal.adversarial.value)} false alarms and {mutants} mutants on a normal image"


def _others(scores: Sequence[tuple[tuple[str, str], float]]) -> str:
    if not scores:
        return ""
    return "; then " + ", ".join(
        f"{code(_name(setting))} {100 * gain:.1f} points" for setting, gain in scores
    )


def _detectors(cells: Cells) -> list[str]:
    """Who ranks best, trained on attacks or not."""
    lines = []
    groups = {
        "Of the detectors not trained on attacks": [
            m for m in cells.methods.values() if m.family != "attacks"
        ],
        "Of those trained on attacks": [m for m in cells.methods.values() if m.family == "attacks"],
    }
    for group, methods in groups.items():
        names = [method.name for method in methods]
        ranks = _ranked(names, lambda name: _mean_auroc(cells, name))
        finds = _ranked(names, lambda name: _mean_detected(cells, name))
        if ranks:
            lines.append(
                f"{group}, {code(ranks[0][0])} has the highest mean AUROC over all kinds, {number(ranks[0][1])}. "
                f"{link(AUROC)}"
            )
        if finds:
            alarms = cells.methods[finds[0][0]].false_alarms_5.value
            lines.append(
                f"{group}, {code(finds[0][0])} detects most at 5 % false alarms, {percent(finds[0][1])} in the mean "
                f"over all kinds (its false alarms in fact: {percent(alarms)}). {link(AT_5)}"
            )
    return lines


def _mean_auroc(cells: Cells, name: str) -> float | None:
    found = [cells.auroc(name, kind) for kind in cells.suspicious]
    return mean(None if figure is None else figure.value for figure in found)


def _mean_detected(cells: Cells, name: str) -> float | None:
    found = [cells.detected(name, kind) for kind in cells.suspicious]
    return mean(None if figure is None else figure.value for figure in found)


def _cheapest(cells: Cells) -> list[str]:
    """The setting of ours that needs the fewest passes, and the least that anything of others costs."""
    ours = [method for method in cells.methods.values() if method.family == "ours"]
    if not ours:
        return []
    cheapest = min(ours, key=lambda method: method.forward_passes)
    lines = [f"The cheapest of ours, {_cost(cells, cheapest)}. {link(METHODS)}"]
    free = [method for method in cells.methods.values() if method.family == "free"]
    scores = {method.name: _mean_detected(cells, method.name) for method in free}
    if free:
        best = max(free, key=lambda method: scores[method.name] or 0.0)
        lines.append(f"The free detector that detects most, {_cost(cells, best)}. {link(METHODS)}")
    return lines


def _cost(cells: Cells, method: Method) -> str:
    passes = (
        "1 forward pass" if method.forward_passes == 1 else f"{plain(method.forward_passes)} forward passes"
    )
    time = "" if method.milliseconds is None else f" and {plain(method.milliseconds)} ms"
    detected = _mean_detected(cells, method.name)
    found = "" if detected is None else f", and detects {percent(detected)} in the mean over all kinds"
    alarms = f" at {percent(method.false_alarms_5.value)} false alarms" if found else ""
    return f"{code(method.name)}, takes {passes}{time} a normal image{found}{alarms}"
