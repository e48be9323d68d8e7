"""What an alarm suggests instead of the label."""

from service.answer import Answer


def suggestion(answer: Answer, *, alarm: bool) -> tuple[int | None, str | None, float | None]:
    """The label that the mutants of an alarm agree on most, its name, and the share of them; else nothing."""
    found = answer.judgement.suggestion if alarm else None
    if found is None:
        return None, None, None
    label, share = found
    return label, answer.model.store.manifest.classes[label], round(share, 6)
