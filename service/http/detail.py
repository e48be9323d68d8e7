"""What callers are not told whose ``response_detail`` is ``verdict``: scores, and the path of the test.

Who makes an adversarial image by asking again and again climbs along what answers say in numbers. These callers get the
decision alone.
"""

from typing import TypeVar

from mutant_guard.wire.verdict import BareClassification, Classification
from service.http.access import Caller
from service.http.problems import caller_refused
from service.keys.api_keys import Detail

# ``mutants`` stays: how many were consulted is what the service promises to say, and the time an answer takes tells it
# anyway. A field that is new is withheld until it is named here.
KEPT = frozenset(
    {
        "request_id",
        "store",
        "label",
        "class_name",
        "verdict",
        "undecided_because",
        "adversarial",
        "mutants",
        "decided_by",
        "suggested_label",
        "suggested_class_name",
        "policy",
        "guard",
        "cached",
        "elapsed_ms",
    }
)


_A = TypeVar("_A", Classification, BareClassification)


def withheld(classification: _A) -> _A:
    """An answer without scores and path: these fields are unset, and so left out."""
    kept = classification.model_fields_set & KEPT
    return type(classification).model_construct(**{name: getattr(classification, name) for name in kept})


def may_explain(caller: Caller) -> None:
    """Whether a caller may see the path of the test.

    Raises:
        ProblemError: 403, their response detail is ``verdict``.
    """
    if caller.detail == Detail.VERDICT:
        raise caller_refused(
            "detail-withheld",
            "answers to you hold the verdict alone (response detail 'verdict'); ask without explain=true, or with a "
            "key of detail 'full'",
        )
