"""Entries for tests of the review queue."""

from datetime import UTC, datetime

from mutant_guard.wire.review import ReviewState
from mutant_guard.wire.verdict import Explanation, StoreName, Verdict
from service.review.item import Found, Ruling

EXPLANATION = Explanation(
    own_evidence=0.0,
    evidence=[1.0, 1.0],
    operators=["nai", "nai"],
    log_ratio=None,
    label_changed=[True, True],
    adversarial_bound=None,
    normal_bound=None,
    normal_at_most=[-1.0, 0.0],
    adversarial_at_least=[3.0, 2.0],
)


def found(request_id: str = "r", **changes: object) -> Found:
    """Return an alarm to put into the queue."""
    fixed = {
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "request_id": request_id,
        "store": StoreName(name="digits", version="v"),
        "label": 3,
        "class_name": "3",
        "confidence": 0.5,
        "verdict": Verdict.ADVERSARIAL,
        "undecided_because": None,
        "adversarial": True,
        "mutants": 2,
        "decided_by": "nai",
        "suggested_label": 5,
        "suggested_class_name": "5",
        "suggested_share": 1.0,
        "policy": "calibrated",
        "sampled": False,
        "explanation": EXPLANATION,
    }
    return Found.model_validate(fixed | changes)


def ruling(state: ReviewState = ReviewState.CONFIRMED, label: int | None = 5, **changes: object) -> Ruling:
    """Return a reviewer's ruling."""
    fixed = {
        "state": state,
        "at": datetime(2026, 1, 3, tzinfo=UTC),
        "reviewer": "rita",
        "true_label": label,
        "true_class_name": None if label is None else str(label),
    }
    return Ruling.model_validate(fixed | changes)
