"""Figures that were asked for, and their results."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt, Le
from pydantic import model_validator

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import AdaptiveCell, MethodCell
from evaluation.experiment.records.trained_results import EarlyCell, TargetCell
from mutant_guard.store.manifest import Frozen

_AT_MOST = {"mutants", "cleared too early", "evading"}


class Target(Frozen):
    """Figure that is asked for.

    Attributes:
        figure: detection at one of two shares of false alarms, or the area under the ROC curve, of
            a detector on a kind; the mean number of ``mutants``, or the share ``cleared too
            early``, of a policy on a kind; the share of images on which an attack that knows the
            guard fools the classifier and raises no alarm of a detector.
        method: the detector or policy.
        kind: kind of images, or the attack.
        knowledge: knowledge of the attacker.
        epsilon: size of the attack.
        prototype: value that a first try measured, if it did.
        reach: value that is asked for; None where any figure will do.
    """

    figure: Literal["detected at 5 %", "detected at 1 %", "AUROC", "mutants", "cleared too early", "evading"]
    method: str
    kind: str
    knowledge: Literal["none", "method", "store"] | None = None
    epsilon: Annotated[float, Gt(0), Le(1)] | None = None
    prototype: Annotated[float, Ge(0)] | None = None
    reach: Annotated[float, Ge(0)] | None = None

    @model_validator(mode="after")
    def _attacks_have_a_size(self) -> Self:
        if (self.figure == "evading") != (self.knowledge is not None and self.epsilon is not None):
            raise ValueError("knowledge and epsilon belong to the figure 'evading', which needs both")
        return self

    @property
    def about(self) -> str:
        """Kind, or the attack with all that it is told apart by."""
        if self.epsilon is None:
            return self.kind
        return f"{self.kind}, {self.knowledge} known, ε {self.epsilon:.3g}"


def target_cells(
    targets: Sequence[Target],
    sizes: Mapping[str, int],
    cells: Sequence[MethodCell],
    early: Sequence[EarlyCell],
    adaptive: Sequence[AdaptiveCell],
) -> list[TargetCell]:
    """Return the result of each target.

    Args:
        targets: figures that are asked for.
        sizes: number of images by kind.
        cells: detectors on kinds.
        early: policies on kinds.
        adaptive: attacks by an attacker that knows the guard.
    """
    return [_cell(one, sizes, *_found(one, cells, early, adaptive)) for one in targets]


def _cell(target: Target, sizes: Mapping[str, int], value: Interval | None, images: int | None) -> TargetCell:
    at_most = target.figure in _AT_MOST
    met = None
    if value is not None and target.reach is not None:
        met = value.value <= target.reach if at_most else value.value >= target.reach
    return TargetCell(
        figure=target.figure,
        method=target.method,
        kind=target.about,
        prototype=target.prototype,
        reach=target.reach,
        at_most=at_most,
        images=sizes.get(target.kind, 0) if images is None else images,
        value=value,
        met=met,
    )


def _found(
    target: Target,
    cells: Sequence[MethodCell],
    early: Sequence[EarlyCell],
    adaptive: Sequence[AdaptiveCell],
) -> tuple[Interval | None, int | None]:
    """Return the figure, and the number of its images where it differs from that of its kind."""
    if target.figure == "evading":
        wanted = target.kind, target.knowledge, target.method
        for attack in adaptive:
            same = (attack.attack, attack.knowledge, attack.detector) == wanted
            if same and target.epsilon is not None and abs(attack.epsilon - target.epsilon) < 1e-6:
                return attack.evading, attack.images
        return None, 0
    for policy in early:
        if (f"{policy.policy} {policy.operator}", policy.kind) == (target.method, target.kind):
            if target.figure == "mutants":
                return policy.mutants, None
            if target.figure == "cleared too early":
                return policy.lost, None
    for cell in cells:
        if (cell.method, cell.kind) == (target.method, target.kind):
            return {
                "detected at 5 %": cell.detected_5,
                "detected at 1 %": cell.detected_1,
                "AUROC": cell.auroc,
            }.get(target.figure), None
    return None, None
