"""Tables of docs/results.md on robust mutants, as the reports have them.

``python -m tests.support.evasion_tables`` prints those of the reports that are there, with their markers.
"""

from evaluation.evasion.counting import STRONGEST
from evaluation.evasion.results import EvasionResults
from evaluation.experiment.records.results import Results
from evaluation.report.markdown import of_range, percent, table
from tests.support.pages import ROOT

OPERATOR = "mixed:robust,retrain"
_ALONE = "doubt retrain"
_DETECTORS = ("softmax confidence", f"doubt {OPERATOR}", f"calibrated {OPERATOR}")
_HOLDS, _OWN = "holds the very store", "makes mutants of their own by the same recipe"


def attacked(name: str) -> EvasionResults:
    """Return the results of the attacks on a store with a robust mutant, by the name of the report."""
    return EvasionResults.model_validate_json((ROOT / f"reports/{name}/results.json").read_bytes())


def reported(*kinds: str) -> list[str]:
    """Return the names of the reports that there are, of these kinds, after their data set."""
    return sorted(path.parent.name for kind in kinds for path in ROOT.glob(f"reports/*-{kind}/report.md"))


def configured(*kinds: str) -> list[str]:
    """Return the names of the reports that there are configurations of, of these kinds."""
    return sorted(path.stem for kind in kinds for path in ROOT.glob(f"evaluation/configs/*-{kind}.toml"))


def evasion_rows(results: EvasionResults) -> list[list[str]]:
    """Return the rows of the table on who knows the guard: a name, then a figure a size in L∞."""
    linf = [cell for cell in results.cells if cell.norm == "linf"]
    sizes = sorted({cell.size for cell in linf})
    policies = [policy.name for policy in results.policies]
    knowledges = {"method": _OWN, "store": _HOLDS}
    rows = []
    for knowledge, who in knowledges.items():
        before = {cell.size: cell for cell in results.earlier_cells if cell.knowledge == knowledge}
        if before:
            shares = [percent(before[size].evading.value if size in before else None) for size in sizes]
            rows.append([f"{who}; no robust mutant", *shares])
    for knowledge, who in knowledges.items():
        for policy in policies:
            cells = [
                cell
                for cell in linf
                if (cell.knowledge, cell.policy) == (knowledge, policy)
                and (knowledge != "store" or cell.attack == STRONGEST)
            ]
            if not cells:
                continue
            most = [max(cell.evading.value for cell in cells if cell.size == size) for size in sizes]
            rows.append([f"{who}; robust mutant first, {policy} false alarms", *map(percent, most)])
    for policy in policies:
        held = {
            cell.size: cell.proved.value
            for cell in linf
            if cell.attack == STRONGEST and cell.policy == policy and cell.proved is not None
        }
        if held:
            shares = [percent(held.get(size)) for size in sizes]
            rows.append([f"*proved that none gets through*, {policy} false alarms", *shares])
    return rows


def detection_rows(name: str) -> list[list[str]]:
    """Return the rows of the table on detection at 5 % false alarms, a policy's at its own.

    Retrained mutants alone are those of the earlier report on the same images.

    Args:
        name: name of the report, which ends in ``robust-detection``.
    """
    results, earlier = _results(name), _results(name.replace("robust-detection", "retrain"))
    cells = {(cell.method, cell.kind): cell.detected_5 for cell in results.cells}
    alone = {cell.kind: cell.detected_5 for cell in earlier.cells if cell.method == _ALONE}
    methods = {method.name: method for method in results.methods}
    methods |= {method.name: method for method in earlier.methods if method.name == _ALONE}
    rows = []
    for kind in dict.fromkeys(cell.kind for cell in results.cells):
        softmax, *ours = (cells[detector, kind] for detector in _DETECTORS)
        found = [softmax, alone[kind], *ours]
        rows.append([kind, *(percent(None if each is None else each.value) for each in found)])
    shown = [_DETECTORS[0], _ALONE, *_DETECTORS[1:]]
    rows.append(["*mutants a clean image*", *(f"{methods[one].forward_passes - 1:.1f}" for one in shown)])
    return rows


def _results(name: str) -> Results:
    return Results.model_validate_json((ROOT / f"reports/{name}/results.json").read_bytes())


def _print() -> None:
    for name in reported("robust", "certified"):
        results = attacked(name)
        sizes = sorted({cell.size for cell in results.cells if cell.norm == "linf"})
        head = ["the attacker", *(f"ε {of_range(size)}" for size in sizes)]
        print(f"<!-- evasion {name} -->")
        print(table(head, evasion_rows(results)), end="\n\n")
    for name in reported("robust-detection"):
        head = [
            "images",
            "softmax confidence",
            "retrained, all",
            "with a robust mutant, all",
            "`calibrated` of these",
        ]
        print(f"<!-- {name} -->")
        print(table(head, detection_rows(name)), end="\n\n")


if __name__ == "__main__":
    _print()
