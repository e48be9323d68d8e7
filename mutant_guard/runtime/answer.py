"""Answer of the guard for one image."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mutant_guard.runtime.explanation import explain
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.runtime.model import Model
from mutant_guard.wire.verdict import Explanation, UndecidedBecause, Verdict


@dataclass(frozen=True)
class Timings:
    """Seconds that each stage of a request took; 0 where a stage was not needed.

    Attributes:
        decode: seconds from the image's bytes to the classifier's input, with hashing and the order
            of the mutants.
        queue: seconds from there to the first run.
        mutants: seconds from the first run to the end of the test.
    """

    decode: float
    queue: float = 0.0
    mutants: float = 0.0


@dataclass(frozen=True)
class Answer:
    """Judgement of an image, with the circumstances that led to it.

    Attributes:
        model: the store version that judged.
        judgement: the label, the verdict, and the evidence behind them.
        adversarial: whether the verdict counts as an alarm: always for ``adversarial``, and for
            ``undecided`` if scores were not finite or the guard was made with
            ``alarm_on_undecided``.
        guarded: whether mutants were asked; without them the judgement is the bare label.
        cached: whether the judgement was made for an earlier image with the same pixels.
        timings: seconds that each stage took.
        body_sha256: sha256 of the bytes of the image (or of its pixels), in hex.
        pixels_key: name of the pixels together with everything else that a judgement depends on.
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
        """Version of the store that answered."""
        return self.model.version

    @property
    def label(self) -> int:
        """Position of the class that the original classifier chooses."""
        return self.judgement.label

    @property
    def class_name(self) -> str:
        """Name of the class that the original classifier chooses."""
        return self.judgement.class_name

    @property
    def confidence(self) -> float:
        """Probability that the original classifier gives its label, 0 to 1.

        It is 0 where the classifier's scores are not finite; the label means nothing then.
        """
        return self.judgement.confidence

    @property
    def verdict(self) -> Verdict:
        """Verdict on whether to trust the label: ``normal``, ``adversarial`` or ``undecided``."""
        return self.judgement.verdict

    @property
    def undecided_because(self) -> UndecidedBecause | None:
        """Cause that ended the test before it could decide; None where it decided."""
        return self.judgement.undecided_because

    @property
    def mutants(self) -> int:
        """Number of mutants that the test consumed, the original not among them."""
        return self.judgement.mutants

    @property
    def label_changes(self) -> int:
        """Number of consumed mutants that chose another label."""
        return self.judgement.label_changes

    @property
    def doubt(self) -> float | None:
        """Mean doubt of the label among the consumed mutants, 0 to 1.

        None where label changes are counted, and without mutants.
        """
        return self.model.doubt(self.judgement)

    @property
    def decided_by(self) -> str | None:
        """Operator of the mutant that decided, or ``confidence``; None where nothing decided.

        ``confidence`` means that the original's own doubt decided.
        """
        return self.judgement.decided_by

    @property
    def suggested_label(self) -> int | None:
        """Label that most of the consumed mutants agree on.

        None without an alarm or without mutants.
        """
        found = self.judgement.suggestion if self.adversarial else None
        return None if found is None else found[0]

    @property
    def suggested_class_name(self) -> str | None:
        """Name of the suggested label's class; None where there is no suggestion."""
        label = self.suggested_label
        return None if label is None else self.model.store.manifest.classes[label]

    @property
    def suggested_share(self) -> float | None:
        """Share of the consumed mutants that chose the suggested label, 0 to 1.

        None where there is no suggestion.
        """
        found = self.judgement.suggestion if self.adversarial else None
        return None if found is None else found[1]

    @property
    def can_be_proved(self) -> bool:
        """Whether there is something to prove: a verdict *normal* of a store with certified mutants."""
        return self.model.proof is not None and self.guarded and self.verdict == Verdict.NORMAL

    def proved_epsilon(self) -> float | None:
        """Return the radius within which this verdict is proved, in units of the pixel range 0 to 1.

        No image that differs from this one by at most that much in every pixel, at the size that the
        classifier reads, can be cleared under another label than this one, whatever the classifier
        and the other mutants say of it. The radius is looked for up to 0.5 in steps of 1/1020 and
        rounded down. It is 0 where not even this image is proved, and None without certified mutants
        and for another verdict than *normal*. It takes as long as 46 passes of each mutant that may
        be heard first, and as many of its bounds, which are twice as large.

        Raises:
            StoreError: the bounds do not fit the store.
        """
        if self.model.proof is None or not self.can_be_proved:
            return None
        return self.model.proof.radius(self.pixels, self.label)

    def explain(self, *, prove: bool = True) -> Explanation:
        """Retrace the test, mutant by mutant, and say where it would have decided.

        Args:
            prove: whether to look for ``proved_epsilon`` too, where the store has certified mutants.

        Raises:
            StoreError: the bounds do not fit the store.
        """
        told = explain(self.model.policy, self.judgement)
        if self.model.proof is None or not prove:
            return told
        return told.model_copy(update={"proved_epsilon": self.proved_epsilon()})
