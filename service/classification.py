"""Response bodies made from the guard's answers."""

from typing import Any

from mutant_guard.runtime.answer import Answer
from mutant_guard.wire.verdict import Classification
from service.probing.query import Query


def classification(
    answer: Answer, *, request_id: str, elapsed: float, query: Query | None = None
) -> Classification:
    """Return the response body for an answer with a verdict; see ``classification_values``."""
    return Classification(
        **classification_values(answer, request_id=request_id, elapsed=elapsed, query=query)
    )


def classification_values(
    answer: Answer, *, request_id: str, elapsed: float, query: Query | None = None
) -> dict[str, Any]:
    """Return the values of a ``Classification`` by field, for an answer with a verdict.

    They are not validated, which takes as long as all else that is done for an answer.

    Args:
        answer: the guard's answer.
        request_id: id of the request.
        elapsed: seconds from the request's arrival to its answer.
        query: what is known of the query; None where queries are not remembered.
    """
    model, judgement = answer.model, answer.judgement
    doubt, share = answer.doubt, answer.suggested_share
    return {
        "request_id": request_id,
        "store": {"name": model.name, "version": model.version},
        "label": judgement.label,
        "class_name": judgement.class_name,
        "confidence": round(judgement.confidence, 6),
        "verdict": judgement.verdict,
        "undecided_because": judgement.undecided_because,
        "adversarial": answer.adversarial,
        "mutants": judgement.mutants,
        "label_changes": judgement.label_changes,
        "label_change_rate": round(judgement.label_changes / max(judgement.mutants, 1), 6),
        "doubt": None if doubt is None else round(doubt, 6),
        "decided_by": judgement.decided_by,
        "suggested_label": answer.suggested_label,
        "suggested_class_name": answer.suggested_class_name,
        "suggested_share": None if share is None else round(share, 6),
        "policy": model.policy.name,
        "error_bounds": model.error_bounds,
        **_told(query),
        "cached": answer.cached,
        "elapsed_ms": round(elapsed * 1000, 3),
    }


def bare_values(answer: Answer, *, request_id: str, elapsed: float) -> dict[str, Any]:
    """Return the values of a ``BareClassification`` by field, for an answer without a verdict.

    Args:
        answer: the guard's answer.
        request_id: id of the request.
        elapsed: seconds from the request's arrival to its answer.
    """
    return {
        "request_id": request_id,
        "store": {"name": answer.model.name, "version": answer.model.version},
        "label": answer.judgement.label,
        "class_name": answer.judgement.class_name,
        "confidence": round(answer.judgement.confidence, 6),
        "guard": "off",
        "elapsed_ms": round(elapsed * 1000, 3),
    }


def _told(query: Query | None) -> dict[str, Any]:
    if query is None or not query.disclosed:
        return {}
    return {"probing": query.probing, "related_queries": query.related}
