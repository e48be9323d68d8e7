from benchmarks.decision import step
from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.policies import ErrorBounds
from mutant_guard.decision.sequential.sprt import Sprt


def test_a_step_is_timed_for_every_policy() -> None:
    policies = [
        builders.sequential("paper", Sprt(0.3, 0.1), 50),
        builders.fixed("fixed", 20, 5, 50, ErrorBounds(0.1, 0.1)),
    ]
    section = step.measure(policies)
    assert [figure.name for figure in section.figures] == [
        "paper_step_1000_requests",
        "fixed_step_1000_requests",
    ]
    assert all(figure.value > 0 and figure.target == 1.0 and figure.at_most for figure in section.figures)
    assert section.tables[0].rows[1][1] == "20"
