"""What an attacker reads of an answer, and the services that answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Response:
    """Response to one image.

    Attributes:
        label: the label answered; None where the query was refused.
        own_label: the classifier's own label, which is the one answered unless a policy answers
            another or refuses; None where nobody can tell. It is for the harness alone.
        confidence: probability of the label; None where scores are withheld.
        alarm: whether the response says *adversarial*.
        doubt: evidence against the label that the response tells, 0 to 1; None where it tells none.
        probing: whether the attacker can tell that the query belongs to a campaign: the response
            says so, scores are withheld that others get, or the query is refused.
        related: number of earlier queries that it is said to be related to.
        refused: whether the query was refused (429).
        seen: whether the service finds that the query belongs to a campaign. It is for the harness
            alone.
    """

    label: int | None
    own_label: int | None
    confidence: float | None = None
    alarm: bool = False
    doubt: float | None = None
    probing: bool = False
    related: int = 0
    refused: bool = False
    seen: bool = False


REFUSAL = Response(None, None, probing=True, refused=True, seen=True)
"""Response to a refused query."""


@dataclass(frozen=True, slots=True)
class Query:
    """Circumstances of one query.

    Attributes:
        caller: account or address that it comes from.
        seconds: its time.
    """

    caller: str
    seconds: float


class Service(Protocol):
    """Service that is asked."""

    def ask(self, images: Pixels, queries: Sequence[Query]) -> list[Response]:
        """Respond to images uint8 [N, H, W, C], one after the other."""

    def forget(self) -> None:
        """Forget all queries, so that the next campaign is the first."""


def told_doubt(doubt: float | None, label_change_rate: float | None) -> float | None:
    """Return the evidence against a label that an answer tells: the doubt, or else the rate."""
    return label_change_rate if doubt is None else doubt
