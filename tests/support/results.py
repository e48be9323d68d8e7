"""Results of an experiment that never ran: plausible, seeded, and as large as real ones."""

import numpy as np

from evaluation.experiment.records.results import (
    NORMAL,
    AdaptiveCell,
    AgreementCell,
    CostCell,
    Difference,
    Environment,
    Histogram,
    Method,
    MethodCell,
    MutantsUsed,
    PaperDetection,
    PaperValue,
    Results,
    RocCurve,
    Scatter,
    ShiftCell,
)
from tests.support.paper_cells import PAPER_COLUMNS, PaperCells, shares

_FAMILIES = {
    "free": ["softmax confidence", "entropy", "margin"],
    "clean": [
        "dropout",
        "feature squeezing",
        "energy",
        "Mahalanobis",
        "nearest neighbours",
        "retrained, soft",
    ],
    "attacks": ["LID", "Mahalanobis, tuned", "binary classifier"],
}


def synthetic(seed: int = 0, *, small: bool = False) -> Results:
    """Make results from a seed.

    Args:
        seed: seed of all draws.
        small: whether to have fewer kinds, operators and detectors, to be quick to draw.
    """
    return _Factory(seed, small).results()


class _Factory(PaperCells):
    def results(self) -> Results:
        """Return results with cells in every section."""
        methods = self._methods()
        return Results(
            name="synthetic",
            title="A synthetic experiment",
            model="LeNet",
            data="mnist@test",
            accuracy=shares(0.983, 0.003),
            test_images=10000,
            folded=True,
            operators=self.operators,
            rates=self.rates,
            main_rates=self.main,
            seeds=[0, 1, 2],
            mutants=500,
            environment=Environment(
                hardware="a machine",
                versions={"torch": "2.9.0"},
                seconds={"attacks": 1234.5, "baselines": 55.0},
            ),
            kinds=[self.kind(kind) for kind in self.kinds],
            pools=self.pools(),
            label_change_rates=self.rate_cells(),
            distances=self.distances(),
            aurocs=self.aurocs(),
            detection=self.detection(),
            paper_detection=[
                PaperDetection(
                    operator=o,
                    columns=list(PAPER_COLUMNS.values()),
                    accuracy=0.943,
                    mutants=71.4,
                    normal=0.907,
                )
                for o in self.operators
            ],
            policies=self.policies(),
            costs=[
                CostCell(
                    operator=o,
                    forward_ms=0.02,
                    generate_seconds=1.234,
                    mutants=66.6,
                    paper=(0.7, 4.321, 71.4),
                )
                for o in self.operators
            ],
            methods=methods,
            cells=[self._cell(method, kind) for method in methods for kind in self.suspicious],
            curves=[
                self._curve(method, kind)
                for method in methods
                if not method.name.startswith("calibrated")
                for kind in self.suspicious
            ],
            histograms=[
                self._histogram(operator, kind) for operator in self.operators for kind in self.kinds
            ],
            mutants_used=[
                self._used(f"{p} {o}", k) for p in self.names() for o in self.operators for k in self.kinds
            ],
            scatter=[self._scatter(kind) for kind in self.kinds],
            adaptive=self._adaptive(),
            shifts=self._shifts(),
            agreement=[
                AgreementCell(kind=kind, policy="calibrated", posted=50, same=50) for kind in self.kinds
            ],
            differences=self._differences(),
        )

    def _methods(self) -> list[Method]:
        ours = [*(f"LCR {o}" for o in self.operators), *(f"calibrated {o}" for o in self.operators)]
        names = [("ours", name) for name in ours]
        names += [(f, name) for f, of in _FAMILIES.items() for name in (of[:1] if self.small else of)]
        return [self._method(family, name) for family, name in names]

    def _method(self, family: str, name: str) -> Method:
        policy = name.startswith("calibrated")
        passes = {"ours": 20.0 if policy else 501.0, "free": 1.0}.get(
            family, float(self.random.choice([1, 2, 5, 51]))
        )
        return Method(
            name=name,
            family=family,
            note=f"note on {name}" if family != "ours" else "",
            forward_passes=passes,
            milliseconds=0.1 * passes,
            false_alarms_1=None if policy else shares(0.0098, 0.004),
            false_alarms_5=shares(self.near(0.05, 0.01), 0.01),
        )

    def _cell(self, method: Method, kind: str) -> MethodCell:
        policy = method.name.startswith("calibrated")
        hard = min(1.0, self.hard[kind] + (0.3 if method.family == "attacks" else 0.0))
        return MethodCell(
            method=method.name,
            kind=kind,
            auroc=None if policy else shares(self.near(0.4 + 0.6 * hard, 0.02), 0.012),
            detected_1=None if policy else shares(self.near(0.6 * hard), 0.03),
            detected_5=shares(self.near(0.95 * hard), 0.03),
            matthews=self.near(0.9 * hard),
        )

    def _curve(self, method: Method, kind: str) -> RocCurve:
        alarms = [0.0, *np.geomspace(0.001, 1, 60).tolist()]
        power = float(max(0.02, 1.2 - self.hard[kind])) * float(self.random.uniform(0.7, 1.4)) / 2
        return RocCurve(
            method=method.name, kind=kind, false_alarms=alarms, detected=[a**power for a in alarms]
        )

    def _histogram(self, operator: str, kind: str) -> Histogram:
        centre = 0.02 if kind == NORMAL else 0.5 * self.hard[kind]
        drawn = np.clip(self.random.normal(centre, 0.03 if kind == NORMAL else 0.15, 1000), 0, 0.999)
        counts, _ = np.histogram(drawn, bins=40, range=(0, 1))
        return Histogram(operator=operator, kind=kind, shares=(counts / 1000).tolist())

    def _used(self, policy: str, kind: str) -> MutantsUsed:
        middle = (8 if policy.startswith("calibrated") else 150) * (
            1.0 if kind == NORMAL else 1.2 - self.hard[kind]
        )
        drawn = np.clip(self.random.lognormal(np.log(middle), 0.7, 1000), 2, 500)
        return MutantsUsed(
            policy=policy, kind=kind, quantiles=np.quantile(drawn, np.linspace(0, 1, 101)).tolist()
        )

    def _scatter(self, kind: str) -> Scatter:
        centre = 0.02 if kind == NORMAL else 0.5 * self.hard[kind]
        rates = np.clip(self.random.normal(centre, 0.1, 150), 0, 1)
        doubt = 10.0 ** np.clip(self.random.normal(-6 + 8 * rates, 1), -9, 0)
        return Scatter(kind=kind, confidence=(1 - doubt).tolist(), label_change_rate=rates.tolist())

    def _adaptive(self) -> list[AdaptiveCell]:
        cells = []
        for detector in ("calibrated nai", "LCR nai", "softmax confidence"):
            for place, knowledge in enumerate(("none", "method", "store")):
                for epsilon in (0.1, 0.2, 0.3):
                    for attack, success in {
                        "joint": 0.9,
                        "confident": 0.8,
                        "orthogonal": 0.03,
                        "worst case": 0.95,
                    }.items():
                        robust = max(
                            0.0,
                            1 - success * (0.1 + epsilon * (place + 1.3)) - (attack == "worst case") * 0.1,
                        )
                        cells.append(
                            AdaptiveCell(
                                attack=attack,
                                knowledge=knowledge,
                                epsilon=epsilon,
                                detector=detector,
                                images=200,
                                success=shares(success),
                                detected=None if attack == "orthogonal" else shares(min(1.0, robust)),
                                evading=shares(1 - robust),
                                robust_accuracy=shares(robust),
                            )
                        )
        return cells

    def _shifts(self) -> list[ShiftCell]:
        detectors = ["calibrated nai", "softmax confidence"]
        return [
            ShiftCell(
                shift=shift,
                images=500,
                accuracy=None if shift == "fashion" else 0.8765,
                alarms={detector: self.detected(self.suspicious[0]) for detector in detectors},
            )
            for shift in ("gaussian noise", "blur", "rotation", "fashion")
        ]

    def _differences(self) -> list[Difference]:
        return [
            Difference(
                table=name,
                operator="nai",
                rate=0.05,
                kind="fgsm",
                interval=shares(0.321, 0.01),
                paper=PaperValue(value=0.456, half_width=0.01),
                explanation=why,
            )
            for name, why in (
                ("label change rate", "the attack is | smaller"),
                ("AUROC", None),
                ("detection", "few"),
            )
        ]
