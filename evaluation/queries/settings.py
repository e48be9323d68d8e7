"""Settings of the attacks by queries: one model a method, told apart by ``method``."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len
from pydantic import Field

from evaluation.queries.oracle import Norm
from mutant_guard.store.manifest import Frozen

Count = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Gt(0), Le(1)]


class _Attack(Frozen):
    """Settings that all attacks share.

    Attributes:
        name: name in the report.
        norm: measure of the changes that it makes.
    """

    name: Annotated[str, Len(1)]
    norm: ClassVar[Norm] = "l2"


class _Adaptive(_Attack):
    """Settings of attacks that can learn from collisions.

    Attributes:
        adaptive: whether it does: it tunes how far apart its queries lie and draws anew those that
            collide with earlier ones.
        redraws: most times that a query is drawn anew.
    """

    adaptive: bool = False
    redraws: Count = 5


class HopSkipJump(_Adaptive):
    """HopSkipJump.

    Attributes:
        first_samples: queries of the first estimate of a direction.
        most_samples: most queries of an estimate.
        noise: least noise of a pixel, in grey levels.
    """

    method: Literal["hopskipjump"]
    first_samples: Count = 100
    most_samples: Count = 1000
    noise: Positive = 1.0


class Square(_Adaptive):
    """The Square attack.

    Attributes:
        share: share of the pixels in the first squares.
        steps: steps over which the squares shrink.
    """

    method: Literal["square"]
    norm: ClassVar[Norm] = "linf"
    share: Share = 0.3
    steps: Count = 10_000


class Nes(_Adaptive):
    """NES.

    Attributes:
        samples: queries of an estimate.
        noise: noise of a pixel, in grey levels.
        step: step as a share of the largest change.
    """

    method: Literal["nes"]
    norm: ClassVar[Norm] = "linf"
    samples: Count = 50
    noise: Positive = 4.0
    step: Share = 0.1


class Boundary(_Attack):
    """The boundary attack.

    Attributes:
        samples: queries of a round.
        delta: first step along the boundary, as a share of the distance.
        epsilon: first step towards the source, as a share of the distance.
    """

    method: Literal["boundary"]
    samples: Count = 20
    delta: Positive = 0.1
    epsilon: Positive = 0.05


class SimBA(_Attack):
    """SimBA on single pixels.

    Attributes:
        epsilon: change of a pixel.
        steps: most pixels tried, each with two queries.
    """

    method: Literal["simba"]
    epsilon: Share = 0.2
    steps: Count = 5000


class GeoDA(_Attack):
    """GeoDA.

    Attributes:
        first_samples: queries of the first estimate of the normal.
        most_samples: most queries of an estimate.
        frequencies: number of low frequencies along each side.
        noise: mean noise of a pixel, in grey levels.
    """

    method: Literal["geoda"]
    first_samples: Count = 60
    most_samples: Count = 1000
    frequencies: Count = 10
    noise: Positive = 2.0


AttackSettings = Annotated[
    HopSkipJump | Square | Nes | Boundary | SimBA | GeoDA, Field(discriminator="method")
]
