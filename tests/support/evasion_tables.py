"""Tables of docs/results.md on robust mutants, as the reports have them.

``python -m tests.support.evasion_tables`` prints those of the reports that are there, with their markers.
"""

from evaluation.evasion.counting import STRONGEST
from evaluation.evasion.results import EvasionResults
from evaluation.experiment.records.results import Results
from evaluation.report.markdown import of_range, percent, table
from tests.support.pages import ROOT

OPERATOR = "mixed:robust,retrain"
DETECTORS = ("softmax confidence", "doubt retrain", f"doubt {OPERATOR}", f"calibrated {OPERATOR}")
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


def detection_rows(results: Results) -> list[list[str]]:
    """Return the rows of the table on detection at 5 % false alarms, a policy's at its own."""
    cells = {(cell.method, cell.kind): cell.detected_5 for cell in results.cells}
    methods = {method.name: method for method in results.methods}
    rows = []
    for kind in dict.fromkeys(cell.kind for cell in results.cells):
        found = [cells[name, kind] for name in DETECTORS]
        rows.append([kind, *(percent(None if each is None else each.value) for each in found)])
    rows.append(
        ["*mutants a clean image*", *(f"{methods[name].forward_passes - 1:.1f}" for name in DETECTORS)]
    )
    return rows


def _print() -> None:
    for name in reported("robust", "certified"):
        results = attacked(name)
        sizes = sorted({cell.size for cell in results.cells if cell.norm == "linf"})
        head = ["the attacker", *(f"ε {of_range(size)}" for size in sizes)]
        print(f"<!-- evasion {name} -->")
        print(table(head, evasion_rows(results)), end="\n\n")
    for name in reported("robust-detection"):
        path = ROOT / f"reports/{name}/results.json"
        head = [
            "images",
            "softmax confidence",
            "retrained, all",
            "with a robust mutant, all",
            "`calibrated` of these",
        ]
        print(f"<!-- {name} -->")
        print(table(head, detection_rows(Results.model_validate_json(path.read_bytes()))), end="\n\n")


if __name__ == "__main__":
    _print()
