"""What the guard gives back for one image."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mutant_guard.runtime.explanation import explain
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.runtime.model import Model
from mutant_guard.wire.verdict import Explanation, UndecidedBecause, Verdict


@dataclass(frozen=True)
class Timings:
    """Where a request's time went, in seconds; 0 where a stage was not needed.

    Attributes:
        decode: from its bytes to the classifier's input, hashing and the order of the mutants included.
        queue: from there to its first run.
        mutants: from the first run to the end of the test.
    """

    decode: float
    queue: float = 0.0
    mutants: float = 0.0


@dataclass(frozen=True)
class Answer:
    """A judgement, and how it came about.

    Attributes:
        model: the store version that judged.
        judgement: what it said.
        adversarial: whether the verdict counts as an alarm: always for ``adversarial``, for ``undecided`` where the
            guard was made with ``alarm_on_undecided``.
        guarded: whether mutants were asked; without them the judgement is the bare label.
        cached: whether it was made for an earlier image with the same pixels.
        timings: where the time went.
        body_sha256: sha256 of the bytes of the image (or of its pixels), in hex.
        pixels_key: names its pixels together with what a judgement depends on besides.
        pixels: uint8 [H, W, C] at model size.
    """

    model: Model
    judgement: Judgement
    adversarial: bool
    guarded: bool
    cached: bool
    timings: Timings
    body_sha256: str
    pixels_key: str
    pixels: NDArray[np.uint8] = field(repr=False, compare=False)

    @property
    def store(self) -> str:
        """Name of the store that answered."""
        return self.model.name

    @property
    def version(self) -> str:
        """Version of that store."""
        return self.model.version

    @property
    def label(self) -> int:
        """Position of the class that the original classifier chooses."""
        return self.judgement.label

    @property
    def class_name(self) -> str:
        """Name of that class."""
        return self.judgement.class_name

    @property
    def confidence(self) -> float:
        """The original classifier's probability of that class, 0 to 1."""
        return self.judgement.confidence

    @property
    def verdict(self) -> Verdict:
        """Whether to trust the label: ``normal``, ``adversarial`` or ``undecided``."""
        return self.judgement.verdict

    @property
    def undecided_because(self) -> UndecidedBecause | None:
        """What ended the test before it could decide; None where it decided."""
        return self.judgement.undecided_because

    @property
    def mutants(self) -> int:
        """Mutants the test consumed, the original not among them."""
        return self.judgement.mutants

    @property
    def label_changes(self) -> int:
        """How many of these mutants chose another label."""
        return self.judgement.label_changes

    @property
    def doubt(self) -> float | None:
        """Mean doubt of the label among these mutants, 0 to 1; None where label changes are counted, or without any."""
        return self.model.doubt(self.judgement)

    @property
    def decided_by(self) -> str | None:
        """``confidence``, or the operator of the mutant after which the test was sure; None where it is undecided."""
        return self.judgement.decided_by

    @property
    def suggested_label(self) -> int | None:
        """The label that most of these mutants agree on; None without an alarm, or without mutants."""
        found = self.judgement.suggestion if self.adversarial else None
        return None if found is None else found[0]

    @property
    def suggested_class_name(self) -> str | None:
        """Name of the suggested label."""
        label = self.suggested_label
        return None if label is None else self.model.store.manifest.classes[label]

    @property
    def suggested_share(self) -> float | None:
        """Share of these mutants that chose the suggested label, 0 to 1."""
        found = self.judgement.suggestion if self.adversarial else None
        return None if found is None else found[1]

    def explain(self) -> Explanation:
        """Retrace the test, mutant by mutant, and say where it would have decided."""
        return explain(self.model.policy, self.judgement)
