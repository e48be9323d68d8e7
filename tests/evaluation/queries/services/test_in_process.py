"""Policies of the service in process, with the memory that the server has."""

from collections.abc import Sequence

import numpy as np
import pytest

from evaluation.queries.config import Memory
from evaluation.queries.services.answer import Answer, Pixels, Query
from evaluation.queries.services.in_process import InProcess
from evaluation.queries.services.judge import Judged
from evaluation.queries.services.remembering import Remembering

SHAPE = (16, 16, 1)
SECONDS = 100.0
COUNT = 30


def relatives() -> Pixels:
    """Return near relatives, all different."""
    images = np.full((COUNT, *SHAPE), 100, np.uint8)
    images[np.arange(COUNT), np.arange(COUNT) % 16, np.arange(COUNT) // 16] = 110
    return images


def judged(images: Pixels) -> list[Judged]:
    """Label every other image 1 and the others 2, under alarm; the first is a 1."""
    return [Judged(1 + n % 2, 0.9, bool(n % 2), 0.25) for n in range(len(images))]


def answers(policy: Memory, pause: float = 1.0, accounts: int = 1) -> Sequence[Answer]:
    service = InProcess(judged, Remembering(SHAPE, 1000, SECONDS), policy)
    queries = [Query(f"account-{n % accounts}", n * pause) for n in range(COUNT)]
    found = service.ask(relatives(), queries)
    service.forget()
    assert not service.ask(relatives()[:1], queries[:1])[0].related
    return found


def first_probing(found: Sequence[Answer]) -> int:
    return next(n for n, answer in enumerate(found) if answer.probing)


@pytest.fixture(scope="module")
def observed() -> Sequence[Answer]:
    return answers("observe")


def test_observed_campaigns_are_told_and_answered(observed: Sequence[Answer]) -> None:
    first = first_probing(observed)
    assert 2 < first < 20
    assert all(answer.probing for answer in observed[first:])
    assert [answer.related for answer in observed] == list(range(COUNT))
    assert [answer.label for answer in observed] == [1, 2] * (COUNT // 2)
    assert all(answer.own_label == answer.label and answer.confidence == 0.9 for answer in observed)


def test_nothing_is_told_where_nothing_is_remembered() -> None:
    found = InProcess(judged).ask(relatives(), [Query("one", 0)] * COUNT)
    assert not any(answer.probing or answer.related for answer in found)
    assert [answer.alarm for answer in found] == [False, True] * (COUNT // 2)


def test_scores_are_withheld_from_campaigns(observed: Sequence[Answer]) -> None:
    found, first = answers("no-scores"), first_probing(observed)
    assert [answer.confidence is None for answer in found] == [n >= first for n in range(COUNT)]
    assert [answer.doubt is None for answer in found] == [n >= first for n in range(COUNT)]
    assert [answer.label for answer in found] == [answer.label for answer in observed]


def test_campaigns_are_refused(observed: Sequence[Answer]) -> None:
    found, first = answers("429"), first_probing(observed)
    assert [answer.refused for answer in found] == [n >= first for n in range(COUNT)]
    assert all(answer.label is None and answer.own_label is None for answer in found[first:])


def test_campaigns_get_the_label_of_their_first_query(observed: Sequence[Answer]) -> None:
    found, first = answers("flat"), first_probing(observed)
    assert {answer.label for answer in found[first:]} == {1}
    assert {answer.confidence for answer in found[first:]} == {None}
    assert [answer.own_label for answer in found] == [answer.label for answer in observed]


def test_accounts_count_together_and_slow_ones_are_forgotten(observed: Sequence[Answer]) -> None:
    assert first_probing(answers("observe", accounts=30)) == first_probing(observed)
    assert not any(answer.related > 1 for answer in answers("observe", pause=SECONDS + 1))


def test_other_thresholds_decide_otherwise(observed: Sequence[Answer]) -> None:
    remembering = Remembering(SHAPE, 1000, SECONDS, {"unsettled": 2})
    found = InProcess(judged, remembering, "observe").ask(relatives(), [Query("one", 0)] * COUNT)
    assert first_probing(found) < first_probing(observed)
    assert remembering.settings()["unsettled"] == 2
