"""Answer of the guard for one image, in JSON."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Verdict(StrEnum):
    """Verdict on an image.

    ``normal``: trust the label. ``adversarial``: do not trust it. ``undecided``: the test ended
    before it could decide; the guard never guesses in silence.
    """

    NORMAL = "normal"
    ADVERSARIAL = "adversarial"
    UNDECIDED = "undecided"


class UndecidedBecause(StrEnum):
    """Cause that ended a test which had not decided.

    ``deadline``: the request's time was up. ``max_mutants``: the server's limit on mutants was
    reached (``GUARD_MAX_MUTANTS``). ``pool_exhausted``: every mutant of the store was used; this
    happens under ``paper`` only, as the tests of ``calibrated`` and ``fixed`` decide before that.
    ``not_finite``: the classifier or the next mutant gave scores that are NaN or infinite, which
    always counts as an alarm.
    """

    DEADLINE = "deadline"
    MAX_MUTANTS = "max_mutants"
    POOL_EXHAUSTED = "pool_exhausted"
    NOT_FINITE = "not_finite"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class StoreName(_Model):
    """Name and version of the store that answered."""

    name: str = Field(examples=["mnist-lenet"])
    version: str = Field(examples=["3f9c1d2e4b5a6978"])


class Bounds(_Model):
    """Bounds on the probabilities of a miss (alpha) and of a false alarm (beta) at the hypotheses.

    The hypotheses are those of the policy. An undecided end counts as an error; an end by the
    deadline, which depends on load, is not taken into account.
    """

    alpha: float = Field(examples=[0.05])
    beta: float = Field(examples=[0.05])


class Explanation(_Model):
    """Path of the test, with one entry for each consumed mutant.

    Evidence is 1 for a label change or a full doubt.
    """

    own_evidence: float
    """Evidence of the original's own doubt before any mutant; 0 where label changes are counted."""
    evidence: list[float]
    """Evidence of each mutant against the label.
    0 or 1 where label changes are counted, else its doubt."""
    operators: list[str]
    """Operator that made each of these mutants."""
    log_ratio: list[float | None] | None
    """Log likelihood ratio after each mutant.
    Null in place of an infinite one, where the evidence rules out one of the two hypotheses and so
    decides. No list for a policy that only counts (``fixed``)."""
    label_changed: list[bool]
    """List that says of each mutant whether it changed the label."""
    adversarial_bound: float | None
    """Log ratio at or below which the input is adversarial; null without log ratios."""
    normal_bound: float | None
    """Log ratio at or above which the input is normal; null without log ratios."""
    normal_at_most: list[float]
    """Most evidence in all with which the input is normal, after each mutant.
    Below 0 where it cannot be normal yet."""
    adversarial_at_least: list[float]
    """Least evidence in all with which the input is adversarial, after each mutant.
    More than there can be where it cannot be adversarial yet."""
    proved_epsilon: float | None = None
    """Radius, in units of the pixel range 0 to 1, within which the verdict normal is proved.
    No image that differs by at most that much in every pixel can be cleared under another label. 0
    where not even this image is proved; null for another verdict. Left out where the store has no
    certified mutants."""


class Classification(_Model):
    """Answer of ``POST /classify``.

    Fields with a default are left out where the caller's response detail is verdict.
    """

    request_id: str = Field(examples=["0b8f7f0e9a6c4a3e"])
    """Id of the request: its X-Request-Id header if there was one."""
    store: StoreName
    """Mutant store that decided."""
    label: int = Field(examples=[7])
    """Position of the class that the original model chooses."""
    class_name: str = Field(examples=["7"])
    """Name of that class."""
    confidence: float | None = Field(default=None, examples=[0.998])
    """Probability that the original model gives that class.
    0 where its scores are not finite; label and class name mean nothing then."""
    verdict: Verdict
    """Verdict: normal, adversarial, or undecided where the test ended before it could decide."""
    undecided_because: UndecidedBecause | None
    """Cause that ended the test undecided; null where it is decided.
    The deadline, the server's limit on mutants, (under paper) no mutants left, or scores that are
    not finite."""
    adversarial: bool
    """Whether the verdict counts as an alarm under the server's settings.
    Scores that are not finite always do."""
    mutants: int = Field(examples=[12])
    """Number of mutants that the test consumed, the original not among them."""
    label_changes: int | None = Field(default=None, examples=[0])
    """Number of consumed mutants that chose another label."""
    label_change_rate: float | None = Field(default=None, examples=[0.0])
    """Ratio label_changes / mutants; 0 without mutants."""
    doubt: float | None = Field(default=None, examples=[None])
    """Mean doubt of the label among the consumed mutants.
    Null where label changes are counted, or without mutants."""
    decided_by: str | None = Field(examples=["nai"])
    """Evidence that decided; null where the verdict is undecided.
    ``confidence``, the original's own, or the operator of the mutant after which the test was
    sure."""
    suggested_label: int | None = Field(examples=[None])
    """On an alarm: the label that most of the consumed mutants agree on.
    Null without an alarm or without mutants."""
    suggested_class_name: str | None = Field(examples=[None])
    """Name of the suggested label's class."""
    suggested_share: float | None = Field(default=None, examples=[None])
    """Share of the consumed mutants that chose the suggested label."""
    policy: str = Field(examples=["calibrated"])
    """Policy that decided."""
    error_bounds: Bounds | None = None
    """Error bounds that hold for this policy.
    Null where the pool or the server's limit on mutants is too small."""
    probing: bool | None = Field(default=None, examples=[False])
    """Whether the image is part of an attack in the making: many that hardly differ were asked for.
    Left out where the server does not remember queries, or does more than observe them."""
    related_queries: int | None = Field(default=None, examples=[0])
    """Number of earlier queries that hardly differ from this one, or from one that does.
    Left out like ``probing``."""
    cached: bool | None = Field(default=None, examples=[False])
    """Whether the verdict was computed for an earlier request with the same pixels."""
    elapsed_ms: float | None = Field(default=None, examples=[2.1])
    """Time in the server, in milliseconds."""
    explanation: Explanation | None = None
    """Path of the test, with ``?explain=true``."""


class BareClassification(_Model):
    """Answer of ``POST /classify?guard=off``: the label, without a verdict."""

    request_id: str = Field(examples=["0b8f7f0e9a6c4a3e"])
    """Id of the request: its X-Request-Id header if there was one."""
    store: StoreName
    """Mutant store whose original model this is."""
    label: int = Field(examples=[7])
    """Position of the class that the model chooses."""
    class_name: str = Field(examples=["7"])
    """Name of that class."""
    confidence: float | None = Field(default=None, examples=[0.998])
    """Probability that the model gives that class."""
    guard: Literal["off"] = "off"
    """Mark that no mutant was asked."""
    elapsed_ms: float | None = Field(default=None, examples=[0.8])
    """Time in the server, in milliseconds."""
