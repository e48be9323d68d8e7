"""Settings of the strongest attacks on a store."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Len
from pydantic import Field

from mutant_guard.store.manifest import Frozen

Norm = Literal["linf", "l2", "l0"]
Knowledge = Literal["store", "method", "answers"]
Count = Annotated[int, Ge(1)]
Size = Annotated[float, Gt(0)]


class GradientAttack(Frozen):
    """APGD on original and mutants at once.

    Attributes:
        name: name in the report.
        norm: measure of a change: ``linf``, ``l2`` or ``l0`` (a number of pixels).
        sizes: largest changes; none stands for those of the experiment.
        knowledge: ``store`` where the attacker holds the very store, ``method`` where it has a
            store of its own by the same recipe, whose images are then judged by the first.
        steps: number of gradients a run.
        runs: number of runs a target, each after something else (see ``plan``).
        targets: number of wrong labels tried, the most likely ones first; None for all.
        combination: way to combine the gradients of the original and of the mutants; ``joint``
            alternates sums and balanced sums.
    """

    name: Annotated[str, Len(1)]
    method: Literal["apgd"]
    norm: Norm = "linf"
    sizes: tuple[Size, ...] = ()
    knowledge: Literal["store", "method"] = "store"
    steps: Count = 100
    runs: Count = 5
    targets: Count | None = None
    combination: Literal["joint", "selective", "orthogonal"] = "joint"

    def budget(self, classes: int) -> int:
        """Return the number of gradients an image, for a number of classes."""
        targets = classes - 1 if self.targets is None else min(self.targets, classes - 1)
        return self.runs * self.steps * targets


class QueryAttack(Frozen):
    """Square attack on what the guard answers.

    Attributes:
        name: name in the report.
        sizes: largest changes of a pixel; none stands for those of the experiment.
        queries: most questions an image.
    """

    name: Annotated[str, Len(1)]
    method: Literal["square"]
    sizes: tuple[Size, ...] = ()
    queries: Count = 1000

    def budget(self, classes: int) -> int:
        """Return the number of questions an image."""
        return self.queries

    @property
    def norm(self) -> Norm:
        """Measure of a change."""
        return "linf"

    @property
    def knowledge(self) -> Knowledge:
        """What the attacker knows: the answers alone."""
        return "answers"


AttackSettings = Annotated[GradientAttack | QueryAttack, Field(discriminator="method")]
