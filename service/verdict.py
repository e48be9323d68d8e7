"""What the guard says of one image."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Verdict(StrEnum):
    """``undecided``: every mutant was used and neither bound was reached. Never a silent guess."""

    NORMAL = "normal"
    ADVERSARIAL = "adversarial"
    UNDECIDED = "undecided"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class StoreName(_Model):
    """Which store answered."""

    name: str = Field(examples=["mnist-lenet"])
    version: str = Field(examples=["3f9c1d2e4b5a6978"])


class Bounds(_Model):
    """Bounds on the probability of a miss (alpha) and of a false alarm (beta) at the policy's hypotheses."""

    alpha: float = Field(examples=[0.05])
    beta: float = Field(examples=[0.05])


class Explanation(_Model):
    """The path of the test, one entry a mutant consumed."""

    log_ratio: list[float]
    """Log likelihood ratio after each mutant."""
    label_changed: list[bool]
    """Whether each mutant changed the label."""
    adversarial_bound: float
    """At or below this log ratio the input is adversarial."""
    normal_bound: float
    """At or above this log ratio the input is normal."""


class Judgement(_Model):
    """The part of an answer that depends on pixels, store and policy alone, and so may be cached."""

    label: int = Field(examples=[7])
    """Position of the class the original model chooses."""
    class_name: str = Field(examples=["7"])
    """Its name."""
    confidence: float = Field(examples=[0.998])
    """The original model's probability of it."""
    verdict: Verdict
    """Whether to trust the label."""
    mutants: int = Field(examples=[12])
    """Mutants the test consumed, the original not among them."""
    label_changes: int = Field(examples=[0])
    """How many of them chose another label."""
    explanation: Explanation
    """How the test went."""


class Classification(_Model):
    """Answer of ``POST /classify``."""

    request_id: str = Field(examples=["0b8f7f0e9a6c4a3e"])
    """The X-Request-Id header if there was one."""
    store: StoreName
    """The mutant store that decided."""
    label: int = Field(examples=[7])
    """Position of the class the original model chooses."""
    class_name: str = Field(examples=["7"])
    """Its name."""
    confidence: float = Field(examples=[0.998])
    """The original model's probability of it."""
    verdict: Verdict
    """normal, adversarial, or undecided where every mutant was used and no bound was reached."""
    adversarial: bool
    """Whether the verdict counts as an alarm under the server's settings."""
    mutants: int = Field(examples=[12])
    """Mutants the test consumed, the original not among them."""
    label_changes: int = Field(examples=[0])
    """How many of them chose another label."""
    label_change_rate: float = Field(examples=[0.0])
    """label_changes / mutants."""
    policy: str = Field(examples=["calibrated"])
    """The policy that decided."""
    error_bounds: Bounds | None
    """Bounds that hold for this policy and pool, or null where the pool is too small for them."""
    cached: bool
    """Whether the verdict was computed for an earlier request with the same pixels."""
    elapsed_ms: float = Field(examples=[2.1])
    """Time in the server, in milliseconds."""
    explanation: Explanation | None = None
    """The path of the test, with ``?explain=true``."""
