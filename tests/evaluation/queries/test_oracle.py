"""The oracle: it counts, rounds, tells what attackers make of answers, and ends campaigns."""

import numpy as np
import pytest

from evaluation.queries.oracle import CampaignOverError, Limit, Oracle, Rules
from evaluation.queries.services.response import REFUSAL, Query, Response
from tests.evaluation.queries.scripted import Scripted

SOURCE = np.full((4, 4, 1), 100, np.uint8)
RIGHT, WRONG = Response(3, 3, 0.9), Response(5, 5, 0.6)
LIMIT = Limit("linf", 0.1)


def oracle_of(answer: Response, rules: Rules = Rules(10, 3)) -> tuple[Oracle, Scripted]:  # noqa: B008
    service = Scripted(lambda _: answer)
    return Oracle(service, SOURCE, 3, LIMIT, rules), service


def levels(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array(values)[:, None, None, None] / 255 * np.ones((1, *SOURCE.shape))


def test_images_are_rounded_to_8_bits() -> None:
    oracle, service = oracle_of(RIGHT)
    oracle.ask(levels(99.6, 100.4, -7, 300))
    assert [int(image[0, 0, 0]) for image in service.images] == [100, 100, 0, 255]
    assert {image.dtype for image in service.images} == {np.dtype(np.uint8)}
    assert service.forgotten == 1


def test_the_budget_is_never_exceeded() -> None:
    oracle, service = oracle_of(RIGHT)
    oracle.ask(levels(*range(7)))
    with pytest.raises(CampaignOverError, match="budget"):
        oracle.ask(levels(*range(7)))
    assert oracle.record.queries == len(service.images) == 10
    with pytest.raises(CampaignOverError, match="budget"):
        oracle.ask(levels(0))
    assert len(service.images) == 10
    assert (oracle.record.seen, oracle.record.evaded, oracle.record.refusals) == (-1, -1, 0)


def test_refusals_in_a_row_end_it() -> None:
    answers = iter([RIGHT, REFUSAL, REFUSAL, RIGHT, REFUSAL, REFUSAL, REFUSAL, RIGHT])
    oracle = Oracle(Scripted(lambda _: next(answers)), SOURCE, 3, LIMIT, Rules(100, 3))
    found = oracle.ask(levels(1, 2, 3, 4))
    assert found.refused.tolist() == found.collided.tolist() == [False, True, True, False]
    assert not found.fooled.any()
    with pytest.raises(CampaignOverError, match="refused"):
        oracle.ask(levels(1, 2, 3, 4))
    assert (oracle.record.queries, oracle.record.seen, oracle.record.refusals) == (7, 2, 5)


@pytest.mark.parametrize(
    ("answer", "evaded", "misled"),
    [
        (WRONG, 2, -1),
        (Response(5, 5, 0.6, alarm=True), -1, -1),
        (Response(5, 3), -1, 2),
        (Response(3, 5), -1, -1),
        (RIGHT, -1, -1),
    ],
)
def test_what_counts_is_near_wrong_and_answered_so(answer: Response, evaded: int, misled: int) -> None:
    oracle, _ = oracle_of(answer)
    far, near = 126, 125  # a change of 25.5 levels is the limit
    if evaded > 0:
        with pytest.raises(CampaignOverError, match="evaded"):
            oracle.ask(levels(far, near, near))
        assert oracle.record.distance == pytest.approx(25 / 255)
        assert oracle.record.queries == 2
    else:
        oracle.ask(levels(far, near, near))
        assert oracle.record.queries == 3
    assert (oracle.record.evaded, oracle.record.misled) == (evaded, misled)


def test_lengths_are_of_pixels_from_0_to_1() -> None:
    limit, ones = Limit("l2", 1.0), np.ones(SOURCE.shape)
    images = np.stack([SOURCE + 63 * ones, SOURCE + 64 * ones]).astype(np.uint8)
    assert limit.distances(images, SOURCE) == pytest.approx([4 * 63 / 255, 4 * 64 / 255])
    assert limit.holds(images, SOURCE).tolist() == [True, False]


def test_costs_fall_from_the_right_label_to_an_unnoticed_wrong_one() -> None:
    answers = [
        REFUSAL,
        Response(3, 3),
        Response(3, 3, 0.99999),
        Response(3, 3, 0.9999),
        Response(3, 3, 0.4),
        Response(5, 5, 0.6, alarm=True),
        Response(5, 5, 0.6, alarm=True, doubt=0.4),
        Response(5, 5, 0.6),
        Response(5, 5, 0.9),
    ]
    told = iter(answers)
    oracle = Oracle(Scripted(lambda _: next(told)), SOURCE, 3, LIMIT, Rules(100, 3))
    found = oracle.ask(levels(*[200] * len(answers)))
    assert found.costs[0] == found.costs[1] == 2
    assert np.all(np.diff(found.costs[1:]) < 0)
    assert found.fooled.tolist() == [False] * 7 + [True] * 2


def test_who_ignores_the_verdict_takes_any_wrong_label_for_success() -> None:
    answer = Response(5, 5, 0.6, alarm=True, doubt=0.4)
    heeding, ignoring = (
        oracle_of(answer, Rules(10, 3, heeds_verdict=heeds))[0].ask(levels(100)) for heeds in (True, False)
    )
    assert (heeding.fooled[0], ignoring.fooled[0]) == (False, True)


def test_accounts_take_turns_and_the_clock_moves() -> None:
    oracle, service = oracle_of(RIGHT, Rules(10, 3, accounts=2, pause=60))
    oracle.ask(levels(1, 2))
    oracle.ask(levels(3))
    assert service.queries == [Query("account-0", 0), Query("account-1", 60), Query("account-0", 120)]
    oracle, service = oracle_of(RIGHT, Rules(10, 3, accounts=0))
    oracle.ask(levels(1, 2, 3))
    assert len({query.caller for query in service.queries}) == 3
