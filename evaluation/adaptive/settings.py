"""Settings of adaptive attacks."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field

from mutant_guard.store.manifest import Frozen


class Search(Frozen):
    """Projected gradient descent within ε of the clean image in L∞, common to all attacks here."""

    epsilon: Annotated[float, Ge(1 / 255), Le(1)]
    """Largest change of a pixel, as a share of the pixel range, in whole 8-bit levels."""
    iterations: Annotated[int, Ge(1)] = 60
    """Number of steps a target."""
    step: Annotated[float, Gt(0), Le(2)] = 0.2
    """First step as a share of ε; steps shrink linearly to a tenth of that."""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.75
    """Share of the previous direction that is kept (Dong et al. 2018)."""
    targets: Annotated[int, Ge(1)] = 3
    """Number of labels tried an image, the most likely wrong ones first; the best is kept."""
    judge_every: Annotated[int, Ge(1)] = 10
    """Number of steps between two looks at the rounded image."""
    judge_mutants: Annotated[int, Ge(1)] = 64
    """Number of mutants that the best iterate is chosen by."""
    judge: Literal["label changes", "doubts"] = "label changes"
    """Evidence of these mutants that counts: what the guard under attack adds up.

    Label changes are averaged with doubts, or hardly two iterates would differ; doubts are those of
    the original as well.
    """
    quiet: Annotated[float, Ge(0), Lt(1)] = 0.02
    """Mean of that evidence at which an image is good enough, so that no further target is tried.
    """


class Joint(Search):
    """Settings of ``JointAttack``."""

    method: Literal["joint"] = "joint"
    mutants: Annotated[int, Ge(1)] = 8
    """Number of mutants drawn afresh for every image and step."""


class Confident(Search):
    """Settings of ``ConfidentAttack``."""

    method: Literal["confident"] = "confident"


class LogitMatching(Search):
    """Settings of ``LogitMatchingAttack``."""

    method: Literal["logit-matching"] = "logit-matching"
    mutants: Annotated[int, Ge(0)] = 8
    """Number of mutants drawn afresh for every image and step, whose logits are to match too."""


class Orthogonal(Search):
    """Settings of ``OrthogonalAttack``."""

    method: Literal["orthogonal"] = "orthogonal"
    mutants: Annotated[int, Ge(1)] = 8
    """Number of mutants drawn afresh for every image and step."""


AttackSettings = Annotated[Joint | Confident | LogitMatching | Orthogonal, Field(discriminator="method")]
"""Settings of any of the attacks, told apart by ``method``."""
