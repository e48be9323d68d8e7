"""Evidence of one mutant on one image, in whole numbers that sequential tests add up."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

UNIT = 1 << 20
"""Units of a full doubt.

Evidence is counted in whole units, so that sums are exact in any order and on any machine.
"""

NO_LABEL = -1
"""Label of scores that are not finite, which no class has."""

_LEAST_PROBABILITY = 1e-12
_DIVERGENCES = 4
"""Weight of a companion's divergence, as a multiple of that of its doubt."""
_EXCESS, _CLEAN_SPREADS = 0.1, 1.5
"""Evidence for each standard deviation of energy above so many."""
_FEW = 8192
"""Number of values up to which BLAS takes no further thread for a sum of products."""

Scores = NDArray[np.float32]
Units = NDArray[np.int64]
"""Evidence in whole units, or labels that it is about."""
OutputKind = Literal["logits", "probabilities"]


def labels_of(scores: Scores) -> Units:
    """Return the label of each row of scores, int64 [..., rows].

    It is ``NO_LABEL`` where a score of the row is NaN or infinite: such scores name no class, and a
    NaN would win every comparison.

    Args:
        scores: float32 [..., rows, classes].
    """
    labels = np.asarray(scores.argmax(axis=-1), dtype=np.int64)
    if not all_finite(scores):
        labels[~np.isfinite(scores).all(axis=-1)] = NO_LABEL
    return labels


def all_finite(values: NDArray[np.float32]) -> bool:
    """Check whether no value of an array is NaN or infinite.

    It is asked several times for each request. For few values their squared length says it several
    times faster than a look at each of them, and only a length that overflows needs that look.
    """
    if values.size <= _FEW and isfinite(np.vdot(values, values)):  # unlike dot it never warns
        return True
    return bool(np.isfinite(values).all())


class Evidence(Protocol):
    """Kind of evidence: the weight of a mutant's answer against the original's label.

    Scores that are not finite count as full evidence: they never speak for a label.
    """

    @property
    def unit(self) -> int:
        """Most evidence that one mutant can give."""

    @property
    def compares(self) -> bool:
        """Whether the evidence of some mutants needs the original's scores."""

    def of_mutants(
        self, scores: Scores, labels: Units, mutants: Units | None = None, original: Scores | None = None
    ) -> Units:
        """Return evidence of mutants against labels.

        Args:
            scores: float32 [rows, classes], the mutants' scores.
            labels: int64 [rows], the original's labels.
            mutants: int64 [rows], the mutants' numbers; may be left out where all mutants speak
                alike.
            original: float32 [rows, classes], the original's scores; needed for companions.

        Returns:
            int64 [rows], 0 to ``unit``.
        """

    def of_original(self, scores: Scores) -> Units:
        """Return evidence of the original's own scores, which counts before any mutant.

        Args:
            scores: float32 [images, classes].

        Returns:
            int64 [images].
        """


@dataclass(frozen=True)
class LabelChanges:
    """Evidence 1 where a mutant chooses another label (Wang et al. 2019, section III-B).

    The original itself counts 0.
    """

    unit: int = 1
    compares: bool = False

    def of_mutants(
        self, scores: Scores, labels: Units, mutants: Units | None = None, original: Scores | None = None
    ) -> Units:
        """Return 1 for each row whose label differs from the given one, else 0; int64 [rows]."""
        return np.asarray(labels_of(scores) != labels, dtype=np.int64)

    def of_original(self, scores: Scores) -> Units:
        """Return zero for every image, int64 [images]."""
        return np.zeros(len(scores), dtype=np.int64)


LABEL_CHANGES = LabelChanges()


@dataclass(frozen=True)
class Doubts:
    """Evidence of a mutant: d = 1 − p(the original's label); of a companion (4 h + d)/5.

    p is a softmax at a temperature fitted on clean images (Guo et al., ICML 2017). The original's
    own evidence counts ``own_weight`` times. It is there before any mutant and free, so it may
    bring an alarm and never clears an image. It is d without companions: a confident attack has
    none of it. With companions, whose evidence holds the original's doubts, it is the excess of its
    energy E = log Σ exp(logit) over clean images, 0.1 for each standard deviation above 1.5 and at
    most 1: large attacks drive the logits of the original beyond what clean images reach, and the
    larger they are the more of them mislead companions as well. Where the scores are probabilities
    it is 0. Beside companions that are smaller than the original, d counts ``beside`` times as
    well: they see less of what the original misreads. (Energy as a score: Liu et al., NeurIPS 2020,
    who look for too little of it.)

    h = 1 − Σ √(p·q) over all classes, with q the original's probabilities, is the square of
    Hellinger's distance: a companion forgives the doubts that the original shares, and a sure
    original is doubted as 1 − √p(its label). That sees attacks better, and d sees more of what
    both are unsure of.

    Attributes:
        temperature: divisor of the mutants' logits.
        own_temperature: divisor of the original's logits.
        own_weight: number of mutants that the original counts as.
        output_kind: kind of the scores.
        unit: units of a full doubt.
        temperatures: divisor of each mutant's logits, where mutants differ; empty where all have
            ``temperature``.
        weights: weight of each mutant's doubt, at most 1; empty where all doubts count fully.
        companions: number of companions, which are the mutants from number 1 on.
        energy: mean of the original's energy over clean images.
        energy_spread: standard deviation of it; 0 where it is not known.
        beside: weight of the original's own doubt beside the excess of its energy, with companions.

    Raises:
        ValueError: a temperature is not above 0, a weight is out of its range, or one is not
            finite.
    """

    temperature: float
    own_temperature: float
    own_weight: float
    output_kind: OutputKind = "logits"
    unit: int = UNIT
    temperatures: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    companions: int = 0
    energy: float = 0.0
    energy_spread: float = 0.0
    beside: float = 0.0

    def __post_init__(self) -> None:
        temperatures = (self.temperature, self.own_temperature, *self.temperatures)
        numbers = (
            *temperatures,
            self.own_weight,
            *self.weights,
            self.energy,
            self.energy_spread,
            self.beside,
        )
        in_range = min(temperatures) > 0 and self.own_weight >= 0 and self.energy_spread >= 0 <= self.beside
        if not (in_range and all(map(isfinite, numbers))):
            raise ValueError(
                f"temperatures must be above 0 and the weight at least 0, all finite, got {self.temperature}, "
                f"{self.own_temperature} and {self.own_weight}"
            )
        if any(not 0 < weight <= 1 for weight in self.weights) or self.companions < 0:
            raise ValueError(
                f"the weights of mutants must be above 0 and at most 1, and companions counted, got {self.weights} and "
                f"{self.companions}"
            )

    def of_mutants(
        self, scores: Scores, labels: Units, mutants: Units | None = None, original: Scores | None = None
    ) -> Units:
        """Return the doubts of mutants in units, times their weights, int64 [rows]."""
        if not (self.temperatures or self.weights or self.companions):
            return doubts(scores, labels, self.temperature, self.output_kind)
        if mutants is None or (self.companions and original is None):
            raise ValueError("these mutants differ: say which ones speak, and what the original says")
        every = np.full(len(mutants), self.temperature)
        temperature = self._of(self.temperatures, mutants) if self.temperatures else every
        found = doubts(scores, labels, temperature, self.output_kind)
        theirs = np.flatnonzero(mutants <= self.companions)
        if original is not None and theirs.size:
            apart = divergences(
                self._logits(scores[theirs], temperature[theirs]),
                self._logits(original[theirs], np.full(len(theirs), self.own_temperature)),
            )
            found[theirs] = (_DIVERGENCES * apart + found[theirs]) // (_DIVERGENCES + 1)
        if self.weights:
            found = np.rint(found * self._of(self.weights, mutants)).astype(np.int64)
        return found

    def of_mutant(self, number: int) -> tuple[float, float]:
        """Return the temperature of a mutant's softmax, and the weight of its doubt.

        Args:
            number: number of a mutant that is no companion, from 1 on.
        """
        temperature = self.temperatures[number - 1] if self.temperatures else self.temperature
        return temperature, self.weights[number - 1] if self.weights else 1.0

    @property
    def compares(self) -> bool:
        """Whether there are companions, whose answers are compared with the original's."""
        return self.companions > 0

    def _logits(self, scores: Scores, temperature: NDArray[np.float64]) -> NDArray[np.float64]:
        return log_scores(scores, self.output_kind) / temperature[:, None]

    @staticmethod
    def _of(values: tuple[float, ...], mutants: Units) -> NDArray[np.float64]:
        return np.asarray(values, dtype=np.float64)[mutants - 1]

    def of_original(self, scores: Scores) -> Units:
        """Return the original's own evidence, times its weight, int64 [images]."""
        return self.weighted(self.own(scores))

    def own(self, scores: Scores) -> Units:
        """Return the original's own evidence in units, without its weight, int64 [images].

        Args:
            scores: float32 [images, classes], the original's scores.
        """
        plain = not self.companions or self.beside > 0
        own = np.zeros(len(scores), dtype=np.int64)
        if plain:
            own = doubts(scores, scores.argmax(axis=1), self.own_temperature, self.output_kind)
        if not self.companions:
            return own
        beside = np.rint(self.beside * own).astype(np.int64)
        if not self.energy_spread:
            return np.asarray(np.minimum(beside, UNIT))
        with np.errstate(invalid="ignore"):  # of scores that are not finite
            above = (energies(scores) - self.energy) / self.energy_spread - _CLEAN_SPREADS
            excess = np.maximum(_EXCESS * above, 0.0)
        units = np.rint(np.where(excess <= 1, excess, 1.0) * UNIT).astype(np.int64)
        return np.asarray(np.minimum(units + beside, UNIT))

    def weighted(self, own: NDArray[np.integer[Any]]) -> Units:
        """Return the original's own evidence, integers [images] in units, times ``own_weight``."""
        return np.asarray(np.rint(own * self.own_weight), dtype=np.int64)


def doubts(
    scores: Scores, labels: Units, temperature: float | NDArray[np.float64], output_kind: OutputKind
) -> Units:
    """Return 1 − p(label) in units, int64 [rows]; a full doubt where the scores are not finite.

    Args:
        scores: float32 [rows, classes], logits or probabilities.
        labels: int64 [rows], labels whose probability is used.
        temperature: divisor of the logits, one for all rows or float64 [rows]; probabilities are
            converted to logits first.
        output_kind: kind of the scores.
    """
    divisor = temperature[:, None] if isinstance(temperature, np.ndarray) else temperature
    logits = log_scores(scores, output_kind) / divisor
    with np.errstate(invalid="ignore"):  # of scores that are not finite
        logits -= np.maximum.reduce(logits, axis=1, keepdims=True)
    powers = np.exp(logits, out=logits)
    total = np.add.reduce(powers, axis=1)
    doubt = (total - powers[np.arange(len(labels)), labels]) / total
    doubt = np.fmin(doubt, 1.0, out=doubt)  # 1 where it is NaN
    return np.asarray(np.rint(doubt * UNIT), dtype=np.int64)


def divergences(logits: NDArray[np.float64], others: NDArray[np.float64]) -> Units:
    """Return 1 − Σ √(p·q) of two classifiers' answers in units, int64 [rows].

    Scores that are not finite count as a full divergence.

    Args:
        logits: float64 [rows, classes], those of one classifier at its temperature.
        others: float64 [rows, classes], those of the other.
    """
    roots = []
    with np.errstate(invalid="ignore", over="ignore"):  # of scores that are not finite
        for rows in (logits, others):
            halves = np.exp((rows - rows.max(axis=1, keepdims=True)) / 2)
            roots.append(halves / np.sqrt((halves**2).sum(axis=1, keepdims=True)))
        found = 1 - (roots[0] * roots[1]).sum(axis=1)
    within = np.clip(np.where(found <= 1, found, 1.0), 0, 1)
    return np.asarray(np.rint(within * UNIT), dtype=np.int64)


def log_scores(scores: Scores, output_kind: OutputKind) -> NDArray[np.float64]:
    """Return logits float64 [rows, classes] from scores, which are logits or probabilities."""
    exact = scores.astype(np.float64)
    return np.log(np.maximum(exact, _LEAST_PROBABILITY)) if output_kind == "probabilities" else exact


def energies(scores: Scores) -> NDArray[np.float64]:
    """Return log Σ exp(logit) of logits float32 [rows, classes], float64 [rows].

    It is NaN where they are not finite.
    """
    logits = scores.astype(np.float64)
    largest = logits.max(axis=1)
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
    return found


def fitted_temperature(scores: Scores, labels: Units, output_kind: OutputKind) -> float:
    """Fit the temperature at which scores give the true labels the greatest likelihood.

    Source: Guo et al. 2017.

    Args:
        scores: float32 [rows, classes], of clean images.
        labels: int64 [rows], the true labels.
        output_kind: kind of the scores.

    Returns:
        A temperature between 0.05 and 20, within a thousandth.
    """
    logits = log_scores(scores, output_kind)
    logits -= logits.max(axis=1, keepdims=True)
    mine = logits[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        inverse = float(np.exp(-log_temperature))
        return float(np.mean(np.log(np.exp(logits * inverse).sum(axis=1)) - mine * inverse))

    low, high = np.log(0.05), np.log(20.0)
    section = (np.sqrt(5) - 1) / 2
    while high - low > 1e-3:  # golden section: convex in the inverse, so one minimum
        left, right = high - section * (high - low), low + section * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))
