"""What an attacker reads in an answer, and the services that answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to one image.

    Attributes:
        label: the label answered; None where the query was refused.
        own_label: the classifier's own label, which is the one answered unless a policy answers
            another or refuses; None where nobody asked the classifier.
        confidence: probability of the label; None where scores are withheld.
        alarm: whether the answer says *adversarial*.
        doubt: evidence against the label that the answer tells, 0 to 1; None where it tells none.
        probing: whether the answer says that it belongs to a campaign; a refusal says so too.
        related: number of earlier queries that it is said to be related to.
        refused: whether the query was refused (429).
    """

    label: int | None
    own_label: int | None
    confidence: float | None = None
    alarm: bool = False
    doubt: float | None = None
    probing: bool = False
    related: int = 0
    refused: bool = False


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

    def ask(self, images: Pixels, queries: Sequence[Query]) -> list[Answer]:
        """Answer images uint8 [N, H, W, C], one after the other."""

    def forget(self) -> None:
        """Forget all queries, so that the next campaign is the first."""
