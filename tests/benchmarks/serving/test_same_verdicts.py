import pytest

from benchmarks.agreement import DisagreementError
from benchmarks.serving import same_verdicts

OURS: list[same_verdicts.Entry] = [
    {"label": 1, "verdict": "normal", "mutants": 3},
    {"label": 2, "verdict": "adversarial", "mutants": 5},
]


@pytest.mark.parametrize(("name", "value"), [("label", 9), ("verdict", "normal"), ("mutants", 4)])
def test_any_difference_is_noticed(name: str, value: object) -> None:
    theirs = [OURS[0], OURS[1] | {name: value}]
    with pytest.raises(
        DisagreementError, match=f"theirs and mutant-guard do not agree on image 1: {name} is"
    ):
        same_verdicts.check("theirs", theirs, OURS)


def test_the_same_answers_pass_be_they_fewer_or_of_labels_alone() -> None:
    same_verdicts.check("theirs", OURS, OURS)
    same_verdicts.check("theirs", OURS[:1], OURS)
    labels = same_verdicts.labels([{"found": 1}, {"found": 2}], lambda entry: entry["found"])
    same_verdicts.check("theirs", labels, OURS, ["label"])
    with pytest.raises(DisagreementError, match="verdict is None"):
        same_verdicts.check("theirs", labels, OURS)
