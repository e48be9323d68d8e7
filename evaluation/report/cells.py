"""Cells of an experiment by what they are asked for.

Examples are a method's figure on a kind and an operator's rates.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Protocol, TypeVar

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import (
    NORMAL,
    KindResult,
    Method,
    MethodCell,
    PaperDetection,
    PolicyCell,
    Results,
)

SOFTMAX = "softmax confidence"
"""Free detector that ours is compared with."""

LABEL_CHANGE_RATE = "LCR "
"""Start of the names of the label change rates; the operator follows."""

_DEFAULT = "calibrated"
"""Policy that a server runs unless it is told otherwise."""

_T = TypeVar("_T")


class _OfKind(Protocol):
    @property
    def kind(self) -> str: ...


class Cells:
    """Look-ups in results; kinds, methods and operators keep the results' order."""

    def __init__(self, results: Results) -> None:
        self.results = results

    @cached_property
    def kinds(self) -> dict[str, KindResult]:
        """Every kind, normal included."""
        return {kind.kind: kind for kind in self.results.kinds}

    @cached_property
    def suspicious(self) -> list[str]:
        """Kinds that should raise an alarm."""
        return [name for name in self.kinds if name != NORMAL]

    @cached_property
    def of_paper(self) -> list[str]:
        """Suspicious kinds that the paper's tables have, too."""
        return [name for name in self.suspicious if self.kinds[name].paper is not None]

    def averaged(self, paper: PaperDetection | None) -> list[str]:
        """Return the kinds whose detection is averaged beside the paper's.

        They are those that the paper averages itself.
        """
        return [name for name in self.of_paper if paper is None or self.kinds[name].paper in paper.columns]

    @cached_property
    def methods(self) -> dict[str, Method]:
        """Every detector."""
        return {method.name: method for method in self.results.methods}

    @cached_property
    def label_change_rates(self) -> list[str]:
        """Detectors that are label change rates over all mutants."""
        return [name for name, method in self.methods.items() if _is_label_change_rate(method)]

    @cached_property
    def ours(self) -> list[str]:
        """Every setting of the guard: label change rates and policies, any operator."""
        return [name for name, method in self.methods.items() if method.family == "ours"]

    @cached_property
    def others(self) -> list[str]:
        """Detectors that are not ours and need no attacks to be trained on."""
        return [name for name, method in self.methods.items() if method.family not in {"ours", "attacks"}]

    @cached_property
    def trained(self) -> list[str]:
        """Detectors trained on attacks."""
        return [name for name, method in self.methods.items() if method.family == "attacks"]

    @cached_property
    def default(self) -> tuple[str, str] | None:
        """Default policy with the first operator that has it."""
        found = [(_DEFAULT, operator) for operator in self.results.operators]
        return next((setting for setting in found if setting_name(setting) in self.methods), None)

    @cached_property
    def _by_method(self) -> dict[tuple[str, str], MethodCell]:
        return {(cell.method, cell.kind): cell for cell in self.results.cells}

    @cached_property
    def _policies(self) -> dict[tuple[str, str, str], PolicyCell]:
        return {(cell.policy, cell.operator, cell.kind): cell for cell in self.results.policies}

    def cell(self, method: str, kind: str) -> MethodCell | None:
        """Return a detector's cell on a kind."""
        return self._by_method.get((method, kind))

    def auroc(self, method: str, kind: str) -> Interval | None:
        """Return the area under the ROC curve."""
        cell = self.cell(method, kind)
        return None if cell is None else cell.auroc

    def detected(self, method: str, kind: str) -> Interval | None:
        """Return detection at the threshold that 5 % of clean calibration images pass."""
        cell = self.cell(method, kind)
        return None if cell is None else cell.detected_5

    def mean_detected(self, method: str) -> float | None:
        """Return the mean of ``detected`` over all kinds; None where one is missing."""
        found = [self.detected(method, kind) for kind in self.suspicious]
        return mean(None if figure is None else figure.value for figure in found)

    def gain(self, method: str) -> float | None:
        """Return mean detection less false alarms.

        It ranks detectors with different false alarms.
        """
        detected = self.mean_detected(method)
        return None if detected is None else detected - self.methods[method].false_alarms_5.value

    def most_detected(self, methods: Iterable[str], kind: str) -> str | None:
        """Return the method that detects most of a kind, the first of equals."""
        return best(methods, lambda name: value_of(self.detected(name, kind)))

    @cached_property
    def settings(self) -> list[tuple[str, str]]:
        """Policies with their operators."""
        return unique((cell.policy, cell.operator) for cell in self.results.policies)

    def policy(self, setting: tuple[str, str], kind: str) -> PolicyCell | None:
        """Return the answers of a policy with its operator on a kind."""
        return self._policies.get((*setting, kind))

    def rates(self, operator: str) -> list[float]:
        """Return the mutation rates of an operator, its main one included, ascending."""
        return sorted(
            {*self.results.rates, *(rate for of, rate in self.results.main_rates.items() if of == operator)}
        )

    def in_order(self, present: Iterable[_OfKind]) -> list[str]:
        """Return the names of the kinds that cells are there for, in the order of the samples."""
        found = unique(cell.kind for cell in present)
        known = [kind for kind in self.kinds if kind in found]
        return known + [kind for kind in found if kind not in self.kinds]


def _is_label_change_rate(method: Method) -> bool:
    return method.family == "ours" and method.name.startswith(LABEL_CHANGE_RATE)


def setting_name(setting: tuple[str, str]) -> str:
    """Return the name of a policy with its operator as a detector."""
    policy, operator = setting
    return policy if policy.endswith(f" {operator}") else f"{policy} {operator}"


def unique(items: Iterable[_T]) -> list[_T]:
    """Return items once each, in order."""
    return list(dict.fromkeys(items))


def mean(figures: Iterable[float | None]) -> float | None:
    """Return the mean; None where a figure is missing or there is none."""
    listed = list(figures)
    known = [figure for figure in listed if figure is not None]
    return sum(known) / len(known) if known and len(known) == len(listed) else None


def value_of(figure: Interval | None) -> float | None:
    """Return the figure without its interval."""
    return None if figure is None else figure.value


def ranked(items: Iterable[_T], score: Callable[[_T], float | None]) -> list[_T]:
    """Return those that have a score, best first, equals in order."""
    scores = [(item, value) for item in items if (value := score(item)) is not None]
    return [item for item, _ in sorted(scores, key=lambda pair: -pair[1])]


def best(items: Iterable[_T], score: Callable[[_T], float | None]) -> _T | None:
    """Return the first of ``ranked``, or None if there is none."""
    return next(iter(ranked(items, score)), None)
