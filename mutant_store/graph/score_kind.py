"""Kind of a classifier's scores, decided by what they are and not by the names of nodes.

The confidence of an answer depends on it: a softmax of probabilities is none.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import ModelError
from mutant_guard.store.choices import OutputKind
from mutant_store.graph.class_scores import normalised, two_classes
from mutant_store.graph.classifier import LOGITS, Classifier
from mutant_store.graph.graph import Graph

_OUTSIDE = 1e-4
_SUM = 1e-2
"""Largest distance of a sum of probabilities from 1, which half precision and clipping explain."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Decided:
    """Classifier with a score for each class, and the decision on what these are.

    Attributes:
        classifier: the classifier, whose ``output_kind`` is the one decided for.
        single: whether the file has one score an image, that of the second of two classes.
        reason: words for the decision.
        scores: float32 [N, classes], scores of the real images.
    """

    classifier: Classifier
    single: bool
    reason: str
    scores: Floats

    def widened(self, scores: Floats) -> Floats:
        """Return the file's scores float32 [N, …] as the classifier gives them, [N, classes]."""
        return _widened(scores, self.classifier.output_kind) if self.single else scores


def decide(classifier: Classifier, scores: Floats, others: Floats, given: OutputKind | None) -> Decided:
    """Decide what the scores of a classifier are.

    Args:
        classifier: classifier that ``check_scores`` passed.
        scores: its scores of real images, float32 [N, …], as many as there are.
        others: inputs of images that are none, such as noise.
        given: kind that the user says; None looks at the scores.

    Raises:
        ModelError: scores of a real image are not finite; or a single score an image, or scores
            that look like probabilities of another scale, can be read in several ways; the message
            says what to give.
    """
    finite = np.isfinite(scores).reshape(len(scores), -1).all(axis=1)
    if lost := int((~finite).sum()):
        raise ModelError(
            f"the classifier's scores are not finite (NaN or infinite) on {lost} of the {len(scores)} images; mend the "
            "classifier, or leave such images out: each would raise an alarm"
        )
    single = scores.shape in ((len(scores),), (len(scores), 1))
    rows = np.concatenate([part.reshape(len(part), -1) for part in (scores, classifier.scores(others))])
    rows = rows[np.isfinite(rows).all(axis=1)].astype(np.float64)
    behind = normalised(Graph(classifier.model), LOGITS)
    kind, reason = (_of_one if single else _of_many)(rows, behind, given)
    found = replace(classifier, output_kind=kind)
    if single:
        found = replace(found, model=two_classes(classifier.model, LOGITS, kind))
        reason += "; that of class 1 of two"
        scores = _widened(scores, kind)
    return Decided(found, single, reason, scores)


def _of_many(rows: NDArray[np.float64], behind: bool, given: OutputKind | None) -> tuple[OutputKind, str]:
    sums = rows.sum(axis=1)
    within = _within(rows)
    summing = within and bool((np.abs(sums - 1) <= _SUM).all())
    if given is not None:
        told = "as --output-kind says"
        if given == "logits" and summing and len(rows):
            told += ", WARNING: although every row is in 0 to 1 and sums to 1"
        return given, told
    if not len(rows):
        return "logits", "no finite scores to tell"
    if summing:
        return "probabilities", "every row is in 0 to 1 and sums to 1"
    if within and behind:
        return "probabilities", "each in 0 to 1, from a softmax or sigmoids, not summing to 1"
    if within:
        return "logits", (
            "WARNING: each in 0 to 1, but neither summing to 1 nor from a softmax or sigmoid; if they are "
            "probabilities say --output-kind probabilities"
        )
    scale = float(np.median(sums))
    if rows.min() >= 0 and scale > 1 and (np.abs(sums - scale) <= _SUM * scale).all():
        raise ModelError(
            f"every row of the model's scores sums to {scale:.4g}: they look like probabilities times that number; "
            "export the model without this factor, or say --output-kind logits"
        )
    with np.errstate(over="ignore"):
        logs = rows.max() <= _OUTSIDE and (np.abs(np.exp(rows).sum(axis=1) - 1) <= _SUM).all()
    return "logits", "logarithms of probabilities" if logs else "not all in 0 to 1"


def _of_one(rows: NDArray[np.float64], behind: bool, given: OutputKind | None) -> tuple[OutputKind, str]:
    within = _within(rows)
    if given == "probabilities" and not within:
        raise ModelError(
            "the output is said to hold probabilities but leaves the range 0 to 1; use --output-kind logits"
        )
    if given is not None:
        return given, "one score an image, as --output-kind says"
    if len(rows) and within and (behind or rows.min() < 0.5 < rows.max()):
        return "probabilities", "one score an image, in 0 to 1"
    if len(rows) and rows.min() < 0 < rows.max() and np.abs(rows).max() > 1:
        return "logits", "one score an image, of both signs"
    low, high = (rows.min(), rows.max()) if len(rows) else (np.nan, np.nan)
    raise ModelError(
        f"the model gives one score an image, from {low:.3g} to {high:.3g}, which may be a probability, a logit or "
        "neither: say --output-kind probabilities or logits, or export a score for each class"
    )


def _widened(scores: Floats, kind: OutputKind) -> Floats:
    score = scores.reshape(-1, 1)
    return np.concatenate([1 - score if kind == "probabilities" else score - score, score], axis=1)


def _within(rows: NDArray[np.float64]) -> bool:
    return bool(((rows >= -_OUTSIDE) & (rows <= 1 + _OUTSIDE)).all())
