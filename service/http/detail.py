"""Fields withheld from callers whose ``response_detail`` is ``verdict``.

They are the scores and the path of the test. An attacker who makes an adversarial image by asking
again and again follows the numbers in the answers. These callers get the decision alone. Whether an
answer comes from the cache, and its time, which tells that, are withheld as well: they say whether
another caller asked with the same image. So is what the memory of queries knows: an attacker would
take the steps that it does not relate.
"""

from typing import Any

from service.http.access import Caller
from service.http.problems import caller_refused
from service.keys.api_keys import Detail

# ``mutants`` stays: the service promises to say how many were consulted, and the time of an answer
# tells it anyway. A new field is withheld until it is named here.
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
    }
)


def withheld(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of an answer by field, without scores and path."""
    return {name: value for name, value in values.items() if name in KEPT}


def may_explain(caller: Caller) -> None:
    """Check that a caller may see the path of the test.

    Raises:
        ProblemError: 403, the caller's response detail is ``verdict``.
    """
    if caller.detail == Detail.VERDICT:
        raise caller_refused(
            "detail-withheld",
            "answers to you hold the verdict alone (response detail 'verdict'); ask without explain=true, or with a "
            "key of detail 'full'",
        )
