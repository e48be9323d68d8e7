"""The paper's tables and figures, ours beside the paper's."""

from collections.abc import Callable, Sequence

from evaluation.experiment.records.results import NORMAL, CostCell, DetectionCell, Difference, Results
from evaluation.report.cells import Cells, mean, unique
from evaluation.report.comparison import MARKS, compare_with_paper
from evaluation.report.markdown import (
    MISSING,
    details,
    interval,
    link,
    number,
    paper_percent,
    percent,
    percent_around,
    percent_interval,
    picture,
    plain,
    section,
    table,
)
from evaluation.report.tables.setup import FOLDING

RATES, DISTANCES, AUROCS = "label-change-rates", "distances", "aurocs"
DETECTION, COSTS, DIFFERENCES = "detection", "costs", "differences"
PAPER = "beside-the-paper"
_LEGEND = "▲ ours is above the paper's by more than the intervals, ▼ below; – where there is no such cell."
_Pair = tuple[str, str]


def paper_sections(cells: Cells, pictures: Sequence[str]) -> list[str]:
    """Return the sections, those that have cells."""
    results = cells.results
    found: list[str] = []
    if results.label_change_rates:
        found.append(_rates(cells, pictures))
    if results.distances:
        found.append(_distances(cells))
    if results.aurocs:
        found.append(_aurocs(cells))
    if results.detection:
        found.append(_detection(cells))
    if results.costs:
        found.append(_costs(results))
    if results.differences:
        found.append(_differences(results))
    return [_remark(), *found] if results.folded and found else found


def _remark() -> str:
    """Return the remark on top of the tables, since it bears on every one of them."""
    return section(
        "Beside the paper",
        PAPER,
        "Batch normalisation was folded into the layers before it, so neurons, N and σ are not the paper's, and in all "
        "tables that hold ours beside the paper's the same rate is not quite the same mutation: "
        f"{link(FOLDING, 'why')}.",
    )


def _rates(cells: Cells, pictures: Sequence[str]) -> str:
    found = cells.results.label_change_rates
    pairs: dict[tuple[str, float, str], _Pair] = {}
    for cell in found:
        mark = MARKS[compare_with_paper(cell.mean, cell.paper)] if cell.paper else ""
        ours = percent_around(cell.mean, 2) + mark
        pairs[cell.operator, cell.rate, cell.kind] = ours, paper_percent(cell.paper, 2)
    return section(
        "Label change rates (Tables II and IV)",
        RATES,
        "Mean label change rate of the images of a kind, with the 99 % interval; each image counts with its mean "
        "over the pools. " + _LEGEND,
        *_by_operator(cells, cells.in_order(found), pairs),
        _spread(
            cells,
            {(cell.operator, cell.rate, cell.kind): cell.per_pool for cell in found},
            lambda value: f"{100 * value:.2f}",
            "percentage points of label change rate",
        ),
        *(
            picture(name, "Mean label change rates, ours and the paper's")
            for name in pictures
            if name == "paper-rates.png"
        ),
        *(
            picture(name, "Label change rates of normal images and of each kind")
            for name in pictures
            if name.startswith("histogram-")
        ),
    )


def _distances(cells: Cells) -> str:
    found = cells.results.distances
    pairs: dict[tuple[str, float, str], _Pair] = {}
    for cell in found:
        mark = MARKS[compare_with_paper(cell.distance, cell.paper)] if cell.paper is not None else ""
        pairs[cell.operator, cell.rate, cell.kind] = interval(cell.distance, 1) + mark, number(cell.paper, 1)
    return section(
        "Label change rate distance (Figure 3)",
        DISTANCES,
        "Mean label change rate of a kind over that of normal images. The paper's is the ratio of its tables' cells. "
        + _LEGEND,
        *_by_operator(cells, cells.in_order(found), pairs),
    )


def _aurocs(cells: Cells) -> str:
    found = cells.results.aurocs
    pairs: dict[tuple[str, float, str], _Pair] = {}
    for cell in found:
        mark = MARKS[compare_with_paper(cell.auroc, cell.paper)] if cell.paper is not None else ""
        pairs[cell.operator, cell.rate, cell.kind] = interval(cell.auroc) + mark, number(cell.paper, 4)
    return section(
        "AUROC of the label change rate (Table V)",
        AUROCS,
        "Area under the ROC curve, normal images against a kind, over all mutants; mean over the pools. "
        + _LEGEND,
        *_by_operator(cells, cells.in_order(found), pairs),
        _spread(
            cells,
            {(cell.operator, cell.rate, cell.kind): cell.per_pool for cell in found},
            lambda value: f"{value:.3f}",
            "AUROC",
        ),
    )


def _by_operator(cells: Cells, kinds: Sequence[str], pairs: dict[tuple[str, float, str], _Pair]) -> list[str]:
    """Return a table an operator: kinds down, rates across.

    The paper's column is there only where it has a figure.
    """
    parts = []
    for operator in cells.results.operators:
        columns: list[tuple[str, list[str]]] = []
        for rate in cells.rates(operator):
            block = [pairs.get((operator, rate, kind)) for kind in kinds]
            if not any(block):
                continue
            columns.append((f"ours, γ {rate:g}", [pair[0] if pair else MISSING for pair in block]))
            if any(pair and pair[1] != MISSING for pair in block):
                columns.append((f"paper, γ {rate:g}", [pair[1] if pair else MISSING for pair in block]))
        if columns:
            rows = [[kind, *(column[row] for _, column in columns)] for row, kind in enumerate(kinds)]
            parts += [f"**{operator}**", table(["Kind", *(head for head, _ in columns)], rows)]
    return parts


def _spread(
    cells: Cells,
    per_pool: dict[tuple[str, float, str], list[float]],
    shown: Callable[[float], str],
    unit: str,
) -> str:
    """Return how far pools of other seeds lie apart."""
    rows = []
    for operator in cells.results.operators:
        for rate in cells.rates(operator):
            spreads = {
                kind: max(pools) - min(pools)
                for (of, at, kind), pools in per_pool.items()
                if (of, at) == (operator, rate) and len(pools) > 1
            }
            if spreads:
                widest = max(spreads, key=spreads.__getitem__)
                row = [operator, f"{rate:g}", widest, shown(sum(spreads.values()) / len(spreads))]
                rows.append([*row, shown(spreads[widest])])
    head = ["Operator", "Rate", "Widest on", "Mean over kinds", "Widest"]
    found = table(head, rows, text=3) if rows else ""
    return details(f"Largest less smallest pool, in {unit}", found)


def _detection(cells: Cells) -> str:
    found = cells.results.detection
    by_place = {(cell.operator, cell.rho, cell.kind): cell for cell in found}
    ratios = unique(cell.rho for cell in found)
    kinds = cells.in_order(found)
    papers = {paper.operator: paper for paper in cells.results.paper_detection}
    rows: list[list[str]] = []
    blocks: list[str] = []
    for operator in cells.results.operators:
        for rho in ratios:
            averaged = cells.averaged(papers.get(operator))
            attacks = [by_place.get((operator, rho, kind)) for kind in averaged]
            normal = by_place.get((operator, rho, NORMAL))
            if normal is None and not any(attacks):
                continue
            row = [operator, f"{rho:g}", *_averages(attacks, normal)]
            paper = papers.get(operator) if rho == 1 else None
            if paper is None:
                row += [MISSING] * 3
            else:
                row += [percent(paper.accuracy), plain(paper.mutants), percent(paper.normal)]
            rows.append(row)
        listed = [by_place.get((operator, rho, kind)) for kind in kinds for rho in ratios]
        shown = [_answers(cell) for cell in listed if cell is not None]
        head = ["Kind", "ρ", "Adversarial", "Undecided", "Normal", "Right if forced", "Mutants"]
        blocks.append(details(f"{operator}: every kind and ρ", table(head, shown) if shown else ""))
    head = [
        "Operator",
        "ρ",
        "Suspicious: alarms",
        "Suspicious: right if forced",
        "Mutants, suspicious",
    ]
    head += ["Normal: no alarm", "Normal: right if forced", "Mutants, normal"]
    head += ["Paper: accuracy", "Paper: mutants", "Paper: normal"]
    return section(
        "Detection and mutants needed (Figure 4)",
        DETECTION,
        "Algorithm 1 at ςh = ρ times the upper bound of the normal images' label change rate, all pools, every "
        "image in the order that the server would take. Suspicious: mean over the kinds that the paper averages. "
        "An exhausted pool raises no alarm; *if forced*, it counts by whether its rate is above ςh. Beside the paper's "
        "accuracies stand the alarms.",
        table(head, rows),
        *blocks,
    )


def _averages(attacks: Sequence[DetectionCell | None], normal: DetectionCell | None) -> list[str]:
    alarms = mean(None if cell is None else cell.adversarial.value for cell in attacks)
    forced = mean(None if cell is None else cell.forced.value for cell in attacks)
    mutants = mean(None if cell is None else cell.mean_mutants for cell in attacks)
    of_normal = [MISSING] * 3
    if normal is not None:
        shares = (normal.no_alarm, normal.forced)
        of_normal = [*(percent_interval(share) for share in shares), plain(normal.mean_mutants)]
    return [percent(alarms), percent(forced), plain(mutants), *of_normal]


def _answers(cell: DetectionCell) -> list[str]:
    shares = (cell.adversarial, cell.undecided, cell.normal, cell.forced)
    return [
        cell.kind,
        f"{cell.rho:g}",
        *(percent_interval(share) for share in shares),
        plain(cell.mean_mutants),
    ]


def _costs(results: Results) -> str:
    head = ["Operator", "ms a mutant and image", "paper", "s an accurate mutant", "paper", "Mutants", "paper"]
    return section(
        "Cost (Table VI)",
        COSTS,
        "Mutants: of Algorithm 1 at the least ρ on the paper's suspicious kinds. "
        "The paper's milliseconds and seconds are another machine's.",
        table(head, [_cost(cell) for cell in results.costs]),
    )


def _cost(cell: CostCell) -> list[str]:
    paper = cell.paper or (None, None, None)
    ours = (cell.forward_ms, cell.generate_seconds, cell.mutants)
    pairs = zip(ours, paper, strict=True)
    return [cell.operator, *(plain(figure) for pair in pairs for figure in pair)]


def _differences(results: Results) -> str:
    head = ["Table", "Operator", "Rate", "Kind", "Why", "Ours", "Paper"]
    return section(
        "Where ours differ from the paper's by more than the intervals",
        DIFFERENCES,
        table(head, [_difference(cell) for cell in results.differences], text=5),
    )


def _difference(cell: Difference) -> list[str]:
    if cell.table == "AUROC":
        ours, paper = interval(cell.interval), number(cell.paper.value, 4)
    elif cell.table == "detection":
        ours, paper = percent_interval(cell.interval), paper_percent(cell.paper)
    else:
        ours, paper = percent_around(cell.interval, 2), paper_percent(cell.paper, 2)
    mark = MARKS[compare_with_paper(cell.interval, cell.paper)]
    why = cell.explanation or "not known"
    return [cell.table, cell.operator, f"{cell.rate:g}", cell.kind, why, ours + mark, paper]
