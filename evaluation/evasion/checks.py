"""Checks of the attacks themselves: what fails here says that a guard only looks robust.

Carlini et al.: On evaluating adversarial robustness. arXiv 1902.06705, 2019.
"""

from itertools import pairwise

from evaluation.evasion.counting import STRONGEST, Attempt
from evaluation.evasion.results import Check, EvasionCell
from evaluation.report.markdown import percent


def checks(
    cells: list[EvasionCell], whole: Attempt, policies: list[str], contradicted: int = 0
) -> list[Check]:
    """Return the checks, whether each holds, with the figures.

    Args:
        cells: success of the attacks.
        whole: attack with changes of any size.
        policies: names of the policies.
        contradicted: number of images that evade though it is proved that none can, over all sizes
            and policies.
    """
    proved = [cell.proved for cell in cells if cell.proved is not None]
    found = [
        _any_size(whole, policies),
        _never_less(cells),
        *(_strongest_knowledge(cells, knowledge) for knowledge in ("method", "answers")),
    ]
    if proved:
        told = f"{contradicted} do" if contradicted else f"none does, at {len(proved)} sizes and policies"
        found.append(Check(name="no image that is proved evades", holds=not contradicted, text=told))
    return found


def _any_size(whole: Attempt, policies: list[str]) -> Check:
    shares = [float(evaded.mean()) for evaded in whole.found.evaded]
    told = ", ".join(f"{percent(share)} at {name}" for share, name in zip(shares, policies, strict=True))
    return Check(
        name="with changes of any size gradients evade on every image",
        holds=all(share == 1 for share in shares),
        text=f"{told} false alarms, {whole.found.evaded.shape[1]} images",
    )


def _never_less(cells: list[EvasionCell]) -> Check:
    """Check that more steps, and larger changes, never evade less."""
    lost = 0
    for policy in {cell.policy for cell in cells}:
        for attack in {(cell.attack, cell.norm) for cell in cells}:
            rows = [cell for cell in cells if (cell.attack, cell.norm) == attack and cell.policy == policy]
            rates = [cell.evading.value for cell in sorted(rows, key=lambda cell: cell.size)]
            lost += sum(first > second for first, second in pairwise(rates))
            lost += sum(first > second for cell in rows for first, second in pairwise(cell.after))
    gained = [cell.after[-1] - cell.after[-2] for cell in cells if cell.after and cell.knowledge != "answers"]
    return Check(
        name="more steps and larger changes never evade less",
        holds=lost == 0,
        text=f"the last quarter of the steps adds at most {percent(max(gained, default=0.0))} of the images",
    )


def _strongest_knowledge(cells: list[EvasionCell], knowledge: str) -> Check:
    """Check that who holds the store is never weaker than who knows less, at any size."""
    compared, lost = [], []
    for cell in cells:
        if cell.knowledge != knowledge or cell.attack == STRONGEST:
            continue
        alike = [
            each.evading.value
            for each in cells
            if (each.norm, each.size, each.policy) == (cell.norm, cell.size, cell.policy)
            and each.knowledge == "store"
            and each.attack != STRONGEST
        ]
        if alike:
            compared.append(cell)
            if max(alike) < cell.evading.value:
                lost.append(
                    f"{cell.attack} at {cell.size:g}, {cell.policy}: {percent(cell.evading.value)} against "
                    f"{percent(max(alike))}"
                )
    known = {"method": "own mutants", "answers": "the answers alone"}[knowledge]
    told = "; ".join(lost) if lost else f"in {len(compared)} of {len(compared)} comparisons"
    told = told if compared else "nobody attacked so"
    return Check(
        name=f"who holds the store is never weaker than who has {known}",
        holds=not lost,
        text=told if compared else "not attacked so",
    )
