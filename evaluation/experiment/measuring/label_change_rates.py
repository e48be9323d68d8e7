"""Label change rates.

They are means (Tables II and IV), distances (Figure 3), areas (Table V) and histograms.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation import metrics
from evaluation.experiment.records.intervals import resampled
from evaluation.experiment.records.paper import Paper
from evaluation.experiment.records.results import NORMAL, AurocCell, DistanceCell, Histogram, RateCell
from mutant_guard.decision.calibration.recording import Recording

_BINS = 25
_PAPER_LEVEL = 0.99

Rates = NDArray[np.float64]


def rates_of(recordings: Sequence[Recording]) -> Rates:
    """Return label change rates float64 [pools, images] of the same images under several pools."""
    return np.stack([recording.rates for recording in recordings])


class LabelChangeTables:
    """Tables of one operator at one rate."""

    def __init__(
        self,
        operator: str,
        rate: float,
        rates: Mapping[str, Rates],
        columns: Mapping[str, str | None],
        paper: Paper,
    ) -> None:
        """Keep the recorded rates.

        Args:
            operator: name of the operator.
            rate: the mutation rate.
            rates: label change rates by kind, ``normal`` among them.
            columns: the paper's column by kind.
            paper: figures that the paper reports.
        """
        self._operator, self._rate, self._rates = operator, rate, rates
        self._columns, self._paper = columns, paper

    def means(self) -> list[RateCell]:
        """Return Tables II and IV, a cell a kind."""
        return [
            RateCell(
                operator=self._operator,
                rate=self._rate,
                kind=kind,
                images=found.shape[1],
                mean=resampled(metrics.mean(found.mean(axis=0), level=_PAPER_LEVEL)),
                per_pool=found.mean(axis=1).tolist(),
                paper=self._paper.rate(self._operator, self._rate, self._columns[kind]),
            )
            for kind, found in self._rates.items()
        ]

    def distances(self) -> list[DistanceCell]:
        """Return Figure 3, a cell a kind but normal images."""
        return [
            DistanceCell(
                operator=self._operator,
                rate=self._rate,
                kind=kind,
                distance=resampled(metrics.ratio(found.mean(axis=0), self._normal.mean(axis=0))),
                paper=self._paper.distance(self._operator, self._rate, self._columns[kind]),
            )
            for kind, found in self._suspicious.items()
        ]

    def aurocs(self) -> list[AurocCell]:
        """Return Table V, a cell a kind but normal images."""
        return [
            AurocCell(
                operator=self._operator,
                rate=self._rate,
                kind=kind,
                auroc=resampled(metrics.auroc(self._normal, found)),
                per_pool=[metrics.area(low, high) for low, high in zip(self._normal, found, strict=True)],
                paper=self._paper.auroc(self._operator, self._rate, self._columns[kind]),
            )
            for kind, found in self._suspicious.items()
        ]

    def histograms(self) -> list[Histogram]:
        """Return the distribution of label change rates, the pools taken together."""
        return [
            Histogram(
                operator=self._operator,
                kind=kind,
                shares=(np.histogram(found, bins=_BINS, range=(0, 1))[0] / found.size).tolist(),
            )
            for kind, found in self._rates.items()
        ]

    @property
    def _normal(self) -> Rates:
        return self._rates[NORMAL]

    @property
    def _suspicious(self) -> dict[str, Rates]:
        return {kind: found for kind, found in self._rates.items() if kind != NORMAL}
