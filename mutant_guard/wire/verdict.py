"""What the guard says of one image."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Verdict(StrEnum):
    """``undecided``: the test ended before it could decide. Never a silent guess."""

    NORMAL = "normal"
    ADVERSARIAL = "adversarial"
    UNDECIDED = "undecided"


class UndecidedBecause(StrEnum):
    """What ended a test that had not decided.

    ``deadline``: the request's time was up. ``max_mutants``: the server's limit on mutants was reached
    (``GUARD_MAX_MUTANTS``). ``pool_exhausted``: every mutant of the store was used; under ``paper`` only, the tests
    of ``calibrated`` and ``fixed`` decide before that.
    """

    DEADLINE = "deadline"
    MAX_MUTANTS = "max_mutants"
    POOL_EXHAUSTED = "pool_exhausted"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class StoreName(_Model):
    """Which store answered."""

    name: str = Field(examples=["mnist-lenet"])
    version: str = Field(examples=["3f9c1d2e4b5a6978"])


class Bounds(_Model):
    """Bounds on the probability of a miss (alpha) and of a false alarm (beta) at the policy's hypotheses.

    An undecided end counts as an error; one by the deadline, which depends on load, is not reckoned with.
    """

    alpha: float = Field(examples=[0.05])
    beta: float = Field(examples=[0.05])


class Explanation(_Model):
    """The path of the test, one entry a mutant consumed. Evidence is 1 for a label change or a full doubt."""

    own_evidence: float
    """What the original's own doubt counted before any mutant; 0 where label changes are counted."""
    evidence: list[float]
    """What each mutant said against the label: 0 or 1 where label changes are counted, else its doubt."""
    operators: list[str]
    """How each of these mutants was made."""
    log_ratio: list[float | None] | None
    """Log likelihood ratio after each mutant: null in place of an infinite one, where what was seen rules out one of
    the two hypotheses and so decides. No list for a policy that only counts (``fixed``)."""
    label_changed: list[bool]
    """Whether each mutant changed the label."""
    adversarial_bound: float | None
    """At or below this log ratio the input is adversarial; null without log ratios."""
    normal_bound: float | None
    """At or above this log ratio the input is normal; null without log ratios."""
    normal_at_most: list[float]
    """After each mutant: with at most so much evidence in all the input is normal; below 0 where it cannot be yet."""
    adversarial_at_least: list[float]
    """After each mutant: with at least so much evidence in all the input is adversarial; more than there can be
    where it cannot be yet."""


class Classification(_Model):
    """Answer of ``POST /classify``. What has a default is left out where the caller's response detail is verdict."""

    request_id: str = Field(examples=["0b8f7f0e9a6c4a3e"])
    """The X-Request-Id header if there was one."""
    store: StoreName
    """The mutant store that decided."""
    label: int = Field(examples=[7])
    """Position of the class the original model chooses."""
    class_name: str = Field(examples=["7"])
    """Its name."""
    confidence: float | None = Field(default=None, examples=[0.998])
    """The original model's probability of it."""
    verdict: Verdict
    """normal, adversarial, or undecided where the test ended before it could decide."""
    undecided_because: UndecidedBecause | None
    """Why it is undecided: the deadline, the server's limit on mutants, or (under paper) no mutants left. Null where
    it is decided."""
    adversarial: bool
    """Whether the verdict counts as an alarm under the server's settings."""
    mutants: int = Field(examples=[12])
    """Mutants the test consumed, the original not among them."""
    label_changes: int | None = Field(default=None, examples=[0])
    """How many of them chose another label."""
    label_change_rate: float | None = Field(default=None, examples=[0.0])
    """label_changes / mutants; 0 without mutants."""
    doubt: float | None = Field(default=None, examples=[None])
    """Mean doubt of the label among the mutants consumed; null where label changes are counted, or without mutants."""
    decided_by: str | None = Field(examples=["nai"])
    """What brought the decision: ``confidence``, the original's own, or the operator of the mutant after which the
    test was sure. Null where it is undecided."""
    suggested_label: int | None = Field(examples=[None])
    """On an alarm: the label that most of the mutants consumed agree on. Null without an alarm or without mutants."""
    suggested_class_name: str | None = Field(examples=[None])
    """Its name."""
    suggested_share: float | None = Field(default=None, examples=[None])
    """The share of the mutants consumed that chose it."""
    policy: str = Field(examples=["calibrated"])
    """The policy that decided."""
    error_bounds: Bounds | None = None
    """Bounds that hold for this policy, or null where the pool or the server's limit on mutants is too small."""
    cached: bool
    """Whether the verdict was computed for an earlier request with the same pixels."""
    elapsed_ms: float = Field(examples=[2.1])
    """Time in the server, in milliseconds."""
    explanation: Explanation | None = None
    """The path of the test, with ``?explain=true``."""


class BareClassification(_Model):
    """Answer of ``POST /classify?guard=off``: the label, and nobody asked whether to trust it."""

    request_id: str = Field(examples=["0b8f7f0e9a6c4a3e"])
    """The X-Request-Id header if there was one."""
    store: StoreName
    """The mutant store whose original model this is."""
    label: int = Field(examples=[7])
    """Position of the class the model chooses."""
    class_name: str = Field(examples=["7"])
    """Its name."""
    confidence: float | None = Field(default=None, examples=[0.998])
    """The model's probability of it."""
    guard: Literal["off"] = "off"
    """That no mutant was asked."""
    elapsed_ms: float = Field(examples=[0.8])
    """Time in the server, in milliseconds."""
