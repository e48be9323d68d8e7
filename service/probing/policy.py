"""What is done with a query that belongs to an attack in the making."""

from enum import StrEnum


class QueryPolicy(StrEnum):
    """Whether queries are remembered, and what becomes of one that is part of a campaign.

    ``off``: queries are not remembered. ``observe``: it is answered like any other. ``no-scores``:
    it is answered as to callers who see the verdict alone. ``refuse``: it is answered 429.
    ``flat``: label and verdict of the first query are answered to all of its relatives.
    """

    OFF = "off"
    OBSERVE = "observe"
    NO_SCORES = "no-scores"
    REFUSE = "refuse"
    FLAT = "flat"
