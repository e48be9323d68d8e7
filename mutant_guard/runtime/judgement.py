"""Judgement of the mutants on one image."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mutant_guard.wire.verdict import UndecidedBecause, Verdict

CONFIDENCE = "confidence"
"""Value of ``decided_by`` where the original's own doubt was enough to decide."""


class Judgement(BaseModel):
    """Part of an answer that depends on pixels, store and policy alone, and so may be cached.

    A judgement that the deadline ended depends on the server's load as well, and is not cached.
    """

    model_config = ConfigDict(
        frozen=True, use_attribute_docstrings=True, ser_json_bytes="base64", val_json_bytes="base64"
    )

    label: int
    """Position of the class that the original model chooses."""
    class_name: str
    """Name of that class."""
    confidence: float
    """Probability that the original model gives that class; 0 where its scores are not finite."""
    raw_scores: bytes
    """Scores of the original model, float32 little-endian."""
    verdict: Verdict
    """Verdict on whether to trust the label."""
    undecided_because: UndecidedBecause | None
    """Cause that ended the test before it could decide; None where it decided."""
    mutants: int
    """Number of mutants that the test consumed, the original not among them."""
    label_changes: int
    """Number of consumed mutants that chose another label."""
    labels: list[int]
    """Label that each consumed mutant chose, in the order in which the image met them."""
    evidence: list[int]
    """Evidence of each consumed mutant, in units of the policy's evidence."""
    own_evidence: int
    """Evidence of the original before any mutant, in units of the policy's evidence."""
    operators: list[str]
    """Operator that made each consumed mutant."""

    @property
    def scores(self) -> NDArray[np.float32]:
        """Scores of the original model, float32 [classes]."""
        return np.frombuffer(self.raw_scores, dtype="<f4").astype(np.float32)

    @property
    def decided_by(self) -> str | None:
        """Operator of the mutant that decided, or ``confidence``; None where nothing decided.

        ``confidence`` means that the original's own doubt decided.
        """
        if self.verdict == Verdict.UNDECIDED:
            return None
        return self.operators[-1] if self.operators else CONFIDENCE

    @property
    def label_changed(self) -> list[bool]:
        """List that says of each consumed mutant whether it changed the label."""
        return [label != self.label for label in self.labels]

    @property
    def suggestion(self) -> tuple[int, float] | None:
        """Label that most of the consumed mutants chose, and their share; None without mutants.

        Among equally frequent labels it is the one that came first.
        """
        if not self.labels:
            return None
        label, votes = Counter(self.labels).most_common(1)[0]
        return label, votes / len(self.labels)
