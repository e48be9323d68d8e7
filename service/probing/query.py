"""Query: an image that somebody asks for, and what is known of it."""

from dataclasses import dataclass

from service.probing.memory import Seen
from service.probing.policy import QueryPolicy
from service.telemetry.access_log import Sender

_NOBODY = Sender(None, None, None)


@dataclass(slots=True)
class Query:
    """One image of a request.

    Attributes:
        policy: policy for queries that are part of a campaign.
        request_id: id of the request.
        sender: sender of the request.
        guarded: whether a verdict is asked for.
        seen: what the memory knows of the query; None before it is asked.
        settled: whether the answer was decided without the guard.
    """

    policy: QueryPolicy = QueryPolicy.OBSERVE
    request_id: str = ""
    sender: Sender = _NOBODY
    guarded: bool = True
    seen: Seen | None = None
    settled: bool = False

    @property
    def caller(self) -> str:
        """Name of the key that it came with, else the address that it came from."""
        sender = self.sender
        return sender.key or sender.forwarded_for or sender.peer or "unknown"

    @property
    def probing(self) -> bool:
        """Whether it is part of an attack in the making."""
        return self.seen is not None and self.seen.sequence.probing

    @property
    def related(self) -> int:
        """Number of its near relatives."""
        return 0 if self.seen is None else self.seen.sequence.related

    @property
    def withheld(self) -> bool:
        """Whether the policy keeps the scores from the caller."""
        return self.policy is not QueryPolicy.OBSERVE and self.probing

    @property
    def disclosed(self) -> bool:
        """Whether callers are told what is known of the query.

        Where the policy does more than observe, an attacker would look for the steps that the
        memory does not relate.
        """
        return self.policy is QueryPolicy.OBSERVE
