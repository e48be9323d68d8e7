import pytest

from service.probing.clue import NOTHING, Clue
from service.probing.sequence import UNKNOWN, Sequence, Thresholds

LIMITS = Thresholds(unsettled=5, disagreeing=2, spread=0.25, edited=3, halvings=2, sampled=2, settled=20)
HALVED, HALVED_TWICE, SAMPLED = Clue(1), Clue(2), Clue(0, True)


def sequence(answers: list[tuple[int, bool, float]], clue: Clue = NOTHING) -> Sequence:
    """Return a sequence, of which the second query gives a clue."""
    made = Sequence(1, 0.0, LIMITS)
    for number, answer in enumerate(answers):
        if number:
            made.join("me", float(number), clue=clue if number == 1 else NOTHING)
        made.answered(*answer)
    return made


AGREEING = [(3, False, 0.9)] * 6


@pytest.mark.parametrize(
    ("last", "probing"),
    [
        ([], False),
        ([(4, False, 0.9)], False),
        ([(4, False, 0.9)] * 2, True),
        ([(4, False, 0.9), (5, False, 0.9)], True),
        ([(3, True, 0.9)], False),
        ([(3, True, 0.9)] * 2, True),
        ([(3, True, 0.9)] * 100, True),
        ([(3, False, 0.66)], False),
        ([(3, False, 0.64)], True),
        ([(4, False, 0.1)], False),
    ],
)
def test_answers_that_tell_something_decide(last: list[tuple[int, bool, float]], probing: bool) -> None:
    assert sequence(AGREEING + last, HALVED).probing is probing
    assert sequence(AGREEING + last, SAMPLED).probing is probing


def test_answers_that_waver_are_no_attack_without_a_clue() -> None:
    """Frames of a scene between two classes are answered so."""
    made = sequence([(number % 2, False, number / 20) for number in range(20)])
    assert (made.unsettled, made.related, made.probing) == (True, 19, False)
    made.join("me", 9.0)
    assert made.probing


def test_steps_halved_twice_are_an_attack_where_answers_differ() -> None:
    assert not sequence(AGREEING[:3], HALVED_TWICE).probing
    assert sequence([*AGREEING[:2], (4, False, 0.9)], HALVED_TWICE).probing
    assert not sequence([*AGREEING[:2], (4, False, 0.9)], HALVED).probing
    made = sequence(AGREEING, HALVED_TWICE)
    made.take(HALVED)
    assert made.halvings == 2


def test_two_samples_around_another_query_are_an_attack_whatever_they_tell() -> None:
    made = sequence(AGREEING[:3], SAMPLED)
    assert (made.sampled, made.probing) == (1, False)
    made.join("me", 9.0, clue=SAMPLED)
    assert (made.sampled, made.probing) == (2, True)


def test_few_relatives_are_no_attack_whatever_they_tell() -> None:
    told = [(1, True, 0.1), (2, True, 0.9), (3, True, 0.5), (1, True, 0.9), (2, True, 0.2)]
    made = sequence(told, SAMPLED)
    assert made.unsettled
    assert not made.probing
    made.join("me", 9.0)
    assert made.probing


def test_alarms_that_all_queries_raise_tell_nothing() -> None:
    made = sequence([(3, True, 0.9)] * 10)
    assert (made.alarms, made.probing) == (10, False)


def test_few_edited_relatives_are_an_attack_whatever_they_tell() -> None:
    made = sequence([(3, False, 0.9)] * 3)
    for number in range(4):
        assert made.probing == (number >= 3)
        made.join("me", 9.0, edited=True)
    assert (made.related, made.edited) == (6, 4)


def test_many_relatives_are_an_attack_even_where_they_tell_nothing() -> None:
    assert not sequence([(3, False, 0.9)] * 20).probing
    assert sequence([(3, False, 0.9)] * 21).probing


def test_the_first_answer_stays_the_first() -> None:
    made = Sequence(1, 0.0, LIMITS)
    assert made.first_label == UNKNOWN
    for label in (7, 2, 2, 2):
        made.answered(label, False, 0.5)
    assert made.first_label == 7
    assert made.disagreeing == 1


def test_labels_without_end_take_no_memory_without_end() -> None:
    made = sequence([(label, False, 0.5) for label in range(1000)])
    assert len(made._answers) <= 8
    assert made.disagreeing >= 7


def test_among_hundreds_of_frames_some_are_samples_by_chance() -> None:
    video = Sequence(0, 0.0, Thresholds(chance=10))
    for number in range(9):
        video.join("camera", float(number), clue=Clue(sampled=number == 0))
    assert (video.sampled, video.probing) == (1, False)
    video.join("camera", 9.0, clue=Clue(sampled=True))
    assert (video.sampled, video.related, video.probing) == (2, 10, False)
    video.join("camera", 10.0, clue=Clue(sampled=True))
    assert (video.sampled, video.probing) == (3, True)
