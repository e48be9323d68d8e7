"""What the mutants make of one image."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mutant_guard.wire.verdict import UndecidedBecause, Verdict

CONFIDENCE = "confidence"
"""What decided where the original's own doubt was enough."""


class Judgement(BaseModel):
    """The part of an answer that depends on pixels, store and policy alone, and so may be cached.

    One that the deadline ended depends on the server's load as well, and is not.
    """

    model_config = ConfigDict(
        frozen=True, use_attribute_docstrings=True, ser_json_bytes="base64", val_json_bytes="base64"
    )

    label: int
    """Position of the class the original model chooses."""
    class_name: str
    """Its name."""
    confidence: float
    """The original model's probability of it."""
    raw_scores: bytes
    """The original model's scores, float32 little-endian."""
    verdict: Verdict
    """Whether to trust the label."""
    undecided_because: UndecidedBecause | None
    """What ended the test undecided, None where it decided."""
    mutants: int
    """Mutants the test consumed, the original not among them."""
    label_changes: int
    """How many of them chose another label."""
    labels: list[int]
    """The label each mutant chose, in the order they were met."""
    evidence: list[int]
    """What each mutant said, in units of the policy's evidence."""
    own_evidence: int
    """What the original counted before any of them, in these units."""
    operators: list[str]
    """How each of these mutants was made."""

    @property
    def scores(self) -> NDArray[np.float32]:
        """The original model's scores, float32 [classes]."""
        return np.frombuffer(self.raw_scores, dtype="<f4").astype(np.float32)

    @property
    def decided_by(self) -> str | None:
        """``confidence`` where the original's own doubt decided, else the operator of the mutant that did; None where
        nothing decided.
        """
        if self.verdict == Verdict.UNDECIDED:
            return None
        return self.operators[-1] if self.operators else CONFIDENCE

    @property
    def label_changed(self) -> list[bool]:
        """Whether each mutant changed the label."""
        return [label != self.label for label in self.labels]

    @property
    def suggestion(self) -> tuple[int, float] | None:
        """What the mutants consumed agree on most, the first met among equals, and the share of them that do; None
        without mutants.
        """
        if not self.labels:
            return None
        label, votes = Counter(self.labels).most_common(1)[0]
        return label, votes / len(self.labels)
