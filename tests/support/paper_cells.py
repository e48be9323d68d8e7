"""Cells of an experiment that never ran: samples, pools, the paper's tables and policies."""

import numpy as np

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import (
    NORMAL,
    WRONG,
    AurocCell,
    DetectionCell,
    DistanceCell,
    KindResult,
    PaperValue,
    PolicyCell,
    PoolResult,
    RateCell,
)

OPERATORS = ["nai", "gf", "ws", "ns"]
_RATES = [0.01, 0.03, 0.05]
PAPER_COLUMNS = {
    WRONG: "Wrongly labeled",
    "fgsm": "FGSM",
    "cw": "C&W",
    "jsma": "JSMA",
    "black-box": "Black-Box",
}
PAPER_COLUMNS |= {"deepfool": "DeepFool"}
_OTHERS = [
    "pgd-0.1",
    "pgd-0.2",
    "pgd-0.3",
    "autoattack",
    "square",
    "hopskipjump",
    "cw-k5",
    "cw-k10",
    "substitute",
]


def shares(value: float, half: float = 0.02) -> Interval:
    """Return a share with an interval, cut off at 0 and 1."""
    return Interval(value=value, low=max(0.0, value - half), high=min(1.0, value + half))


class PaperCells:
    """Draws from one seed."""

    def __init__(self, seed: int, small: bool) -> None:
        self.random = np.random.default_rng(seed)
        self.small = small
        self.operators = OPERATORS[: 2 if small else 4]
        self.rates = _RATES[: 2 if small else 3]
        attacks = [*PAPER_COLUMNS, *_OTHERS]
        self.suspicious = [*attacks[:3], "pgd-0.3"] if small else attacks
        self.kinds = [NORMAL, *self.suspicious]
        self.hard = dict(zip(self.suspicious, self.random.uniform(0.2, 1, len(self.suspicious)), strict=True))
        self.hard["pgd-0.3"] = 0.05
        self.main = dict.fromkeys(self.operators, self.rates[-1])

    def near(self, value: float, by: float = 0.03) -> float:
        return float(np.clip(value + self.random.normal(0, by), 0, 1))

    def detected(self, kind: str) -> Interval:
        return shares(
            self.near(0.05 if kind == NORMAL else self.hard[kind], 0.02 if kind == NORMAL else 0.06)
        )

    def names(self) -> list[str]:
        return ["calibrated", "paper"]

    def kind(self, kind: str) -> KindResult:
        clean = kind in {NORMAL, WRONG}
        return KindResult(
            kind=kind,
            paper=PAPER_COLUMNS.get(kind) if kind != NORMAL else "Normal",
            method=None if clean else kind.partition("-")[0],
            settings={} if clean else {"epsilon": 0.1234, "norm": "Linf"},
            attempts=0 if clean else 1000,
            success=None if clean else shares(self.near(0.9)),
            images=1000,
            l2=None if clean else 2.345,
            linf=None if clean else 0.1112,
            linf_most=None if clean else 0.1234,
            seconds=None if clean else 98.7,
        )

    def pools(self) -> list[PoolResult]:
        return [
            PoolResult(operator=o, rate=r, seed=s, drawn=None if refused else 500 + 7 * s, refused=refused)
            for o in self.operators
            for r in self.rates
            for s in (0, 1, 2)
            for refused in ["no layer has two neurons to switch" if (o, r) == ("ns", 0.01) else None]
        ]

    def _places(self) -> list[tuple[str, float, str]]:
        places = [(o, r, k) for o in self.operators for r in self.rates for k in self.kinds]
        return [(o, r, k) for o, r, k in places if (o, r) != ("ns", 0.01)]

    def rate_cells(self) -> list[RateCell]:
        cells = []
        for operator, rate, kind in self._places():
            value = self.near(0.03 if kind == NORMAL else 0.45 * self.hard[kind] * (0.5 + 10 * rate), 0.01)
            paper = PaperValue(value=self.near(value, 0.02), half_width=0.0123)
            mean = shares(value, 0.0045)
            pools = [self.near(value, 0.002) for _ in range(3)]
            known = paper if kind in PAPER_COLUMNS or kind == NORMAL else None
            cells.append(
                RateCell(
                    operator=operator,
                    rate=rate,
                    kind=kind,
                    images=1000,
                    mean=mean,
                    per_pool=pools,
                    paper=known,
                )
            )
        return cells

    def distances(self) -> list[DistanceCell]:
        return [
            DistanceCell(
                operator=o,
                rate=r,
                kind=k,
                distance=Interval(value=12 * self.hard[k], low=11 * self.hard[k], high=13 * self.hard[k]),
                paper=9.87 if k in PAPER_COLUMNS else None,
            )
            for o, r, k in self._places()
            if k != NORMAL
        ]

    def aurocs(self) -> list[AurocCell]:
        cells = []
        for operator, rate, kind in self._places():
            if kind != NORMAL:
                value = self.near(0.4 + 0.6 * self.hard[kind], 0.01)
                paper = 0.9876 if kind in PAPER_COLUMNS else None
                pools = [self.near(value, 0.002) for _ in range(3)]
                cells.append(
                    AurocCell(
                        operator=operator,
                        rate=rate,
                        kind=kind,
                        auroc=shares(value, 0.01),
                        per_pool=pools,
                        paper=paper,
                    )
                )
        return cells

    def detection(self) -> list[DetectionCell]:
        cells = []
        for operator in self.operators:
            for rho in (0.5, 1.0, 2.0):
                for kind in self.kinds:
                    alarm = self.detected(kind)
                    cells.append(
                        DetectionCell(
                            operator=operator,
                            rho=rho,
                            kind=kind,
                            adversarial=alarm,
                            undecided=shares(0.0321),
                            normal=shares(max(0.0, 1 - alarm.value - 0.0321)),
                            forced=shares(self.near(0.9)),
                            mean_mutants=float(self.random.uniform(20, 400)),
                        )
                    )
        return cells

    def policies(self) -> list[PolicyCell]:
        return [
            PolicyCell(
                operator=operator,
                policy=policy,
                kind=kind,
                adversarial=self.detected(kind),
                undecided=shares(0.012),
                mean_mutants=float(
                    self.random.uniform(5, 30) if policy == "calibrated" else self.random.uniform(60, 300)
                ),
            )
            for policy in self.names()
            for operator in self.operators
            for kind in self.kinds
        ]
