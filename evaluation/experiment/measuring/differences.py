"""Cells that differ from the paper's by more than the intervals, each with its reason."""

from collections.abc import Iterable

from evaluation.experiment.material.config import Explanation
from evaluation.experiment.measuring.mutation import Tables
from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import NORMAL, Difference, PaperDetection, PaperValue

RATES, AREAS, DETECTION = "label change rate", "AUROC", "detection"

_RHO = 1.0


def differences(
    tables: Tables,
    paper: Iterable[PaperDetection],
    columns: dict[str, str | None],
    main_rates: dict[str, float],
    explanations: tuple[Explanation, ...],
) -> list[Difference]:
    """Compare the tables with the paper's.

    A label change rate differs where the two 99 % intervals are apart. An area or an accuracy, for
    which the paper gives no interval, differs where the paper's figure is outside of our interval.

    Args:
        tables: our tables.
        paper: the paper's averages at ρ = 1.
        columns: the paper's column by kind.
        main_rates: the rate at which detection was measured, by operator.
        explanations: reasons, the first that covers a cell counts.
    """
    found = []

    def compare(
        table: str, operator: str, rate: float, kind: str, ours: Interval, value: PaperValue | None
    ) -> None:
        if value is None:
            return
        margin = value.half_width or 0.0
        above, below = ours.low > value.value + margin, ours.high < value.value - margin
        if above or below:
            direction = "above" if above else "below"
            reasons = (one.text for one in explanations if one.covers(table, operator, kind, direction))
            found.append(
                Difference(
                    table=table,
                    operator=operator,
                    rate=rate,
                    kind=kind,
                    interval=ours,
                    paper=value,
                    explanation=next(reasons, None),
                )
            )

    for cell in tables.rates:
        compare(RATES, cell.operator, cell.rate, cell.kind, cell.mean, cell.paper)
    for area in tables.aurocs:
        value = None if area.paper is None else PaperValue(value=area.paper)
        compare(AREAS, area.operator, area.rate, area.kind, area.auroc, value)
    for row in paper:
        accuracy, normal = average_detection(tables, row, columns)
        if accuracy is not None and normal is not None:
            rate = main_rates[row.operator]
            compare(DETECTION, row.operator, rate, "attacks", accuracy, PaperValue(value=row.accuracy))
            compare(DETECTION, row.operator, rate, NORMAL, normal, PaperValue(value=row.normal))
    return found


def average_detection(
    tables: Tables, paper: PaperDetection, columns: dict[str, str | None]
) -> tuple[Interval | None, Interval | None]:
    """Return the accuracy at ρ = 1, averaged like the paper's.

    It is averaged over the paper's kinds of suspicious images, and that on normal images comes
    second. An exhausted pool raises no alarm: right for a normal image, wrong for another. The
    interval of the average is that of the mean of its parts.
    """
    at_one = [cell for cell in tables.detection if cell.operator == paper.operator and cell.rho == _RHO]
    of_the_paper = [cell.adversarial for cell in at_one if columns[cell.kind] in paper.columns]
    normal = next((cell.no_alarm for cell in at_one if cell.kind == NORMAL), None)
    if not of_the_paper:
        return None, normal
    value = sum(cell.value for cell in of_the_paper) / len(of_the_paper)
    half = sum(((cell.high - cell.low) / 2) ** 2 for cell in of_the_paper) ** 0.5 / len(of_the_paper)
    return Interval(value=value, low=value - half, high=value + half), normal
