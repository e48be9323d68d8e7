import hashlib
from itertools import count

import numpy as np
import pytest
from numpy.typing import NDArray

from service.probing.fingerprint import SKETCH, TABLES, WINDOWS, Fingerprint, Print, distances
from service.probing.memory import QueryMemory, Seen
from service.probing.sequence import UNKNOWN, Thresholds

KEY = b"a key for these tests, 32 bytes."
SIDE = 28
FINGERPRINT = Fingerprint(KEY, SIDE, SIDE, 1)


def stranger(random: np.random.Generator) -> Print:
    sketch = random.integers(0, 256, SKETCH, dtype=np.uint8)
    return Print(
        random.integers(0, 2**64, TABLES, dtype=np.uint64),
        sketch,
        np.sort(random.integers(1, 2**64, WINDOWS, dtype=np.uint64)),
        sketch,
        np.zeros(SKETCH, np.float32),
        np.zeros(SKETCH, np.float32),
    )


class Asker:
    """Asker of a memory at a clock that goes one second a query."""

    def __init__(self, entries: int = 1000, seconds: float = 1e6, sequences: int = 100) -> None:
        self.memory = QueryMemory(entries, seconds, radius=FINGERPRINT.radius, sequences=sequences)
        self.random, self.clock = np.random.default_rng(0), count(1)

    def __call__(self, pixels: NDArray[np.uint8], caller: str = "me") -> Seen:
        digest = hashlib.sha256(pixels.tobytes()).digest()
        return self.memory.seen(FINGERPRINT.of(pixels), digest, caller, float(next(self.clock)))

    def strangers(self, queries: int) -> None:
        for _ in range(queries):
            seen = self.memory.seen(
                stranger(self.random), self.random.bytes(32), "others", float(next(self.clock))
            )
            assert seen.sequence.related == 0

    def near(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        noise = self.random.integers(-3, 4, pixels.shape)
        return np.asarray(np.clip(pixels + noise, 0, 255), np.uint8)

    def noise(self) -> NDArray[np.uint8]:
        return self.random.integers(0, 256, (SIDE, SIDE, 1), dtype=np.uint8)

    def picture(self) -> NDArray[np.uint8]:
        coarse = self.random.integers(0, 256, (7, 7))
        return np.asarray(coarse.repeat(4, axis=0).repeat(4, axis=1)[..., None], np.uint8)


def test_relatives_join_the_sequence_of_the_first() -> None:
    asker = Asker()
    image = asker.picture()
    first = asker(image)
    assert (first.sequence.related, first.repeat) == (0, False)
    for number in range(1, 30):
        asker.strangers(5)
        seen = asker(asker.near(image), "me" if number % 2 else "you")
        assert seen.sequence.related == number
        assert seen.sequence.number == first.sequence.number
    assert seen.sequence.callers == {"me": 15, "you": 14}
    assert (seen.sequence.first, seen.sequence.last) == (1.0, 29 * 6 + 1.0)
    assert asker.memory.sequences == [seen.sequence]


def test_relatives_of_relatives_form_one_sequence() -> None:
    """A walk over small steps leads far away from its start."""
    asker = Asker()
    start, end = asker.picture().astype(float), asker.picture().astype(float)
    for number, share in enumerate(np.linspace(0, 1, 60)):
        seen = asker((start + share * (end - start)).astype(np.uint8))
        assert seen.sequence.related == number
    assert asker.memory.seen(FINGERPRINT.of(end.astype(np.uint8)), bytes(16), "", 61.0).sequence.related == 60


def test_a_relative_that_has_others_is_preferred_to_a_nearer_one() -> None:
    """What comes between two sequences belongs to the one that exists, and both grow together."""
    asker = Asker()
    start = 90.0 + asker.picture() / 4
    way = asker.picture() / 8 - 16.0
    grey = float(np.sqrt((way**2).mean()))
    places = (0.0, 0.5, 9.0, 5.2, 7.0)
    found = [asker(np.rint(start + place * way / grey).astype(np.uint8)) for place in places]
    assert found[3].sequence is found[4].sequence
    assert found[3].sequence.number == found[0].number
    assert found[3].sequence.related == 3


def test_flat_images_share_no_windows() -> None:
    """They lack windows, which otherwise would lead to each other."""
    asker = Asker()
    for level in (20, 90, 160, 230):
        for row in (3, 17):
            image = np.full((SIDE, SIDE, 1), level, np.uint8)
            image[row : row + 8, 5:20] = 255 - level
            assert not FINGERPRINT.of(image).windows.any()
            seen = asker(image)
            assert (seen.sequence.related, seen.sequence.edited) == (0, 0)
            assert asker(image).repeat


def test_a_search_is_an_attack_before_a_dozen_queries() -> None:
    asker = Asker()
    start, end = asker.near(asker.picture()).astype(float), asker.near(asker.picture()).astype(float)
    low, high = 0.0, 0.2
    for step in range(6):
        middle = (low + high) / 2
        seen = asker(np.rint(start + middle * (end - start)).astype(np.uint8))
        asker.memory.answered(seen, step % 2, False, 0.9)
        low, high = (low, middle) if step % 2 else (middle, high)
    assert seen.sequence.halvings >= 2
    assert seen.sequence.probing


def test_a_large_change_of_a_small_part_is_a_relative_and_an_edited_one() -> None:
    """The means of the images are far apart, and most pixels are the same."""
    asker = Asker()
    image = asker.noise()
    asker(image)
    for number in range(1, 4):
        edited = image.copy()
        row, column = asker.random.integers(0, SIDE - 12, 2)
        edited[row : row + 12, column : column + 12] ^= 255
        one, other = FINGERPRINT.of(image), FINGERPRINT.of(edited)
        assert distances(one.sketch, other.sketch[None])[0] > 2 * FINGERPRINT.radius
        seen = asker(edited)
        assert (seen.sequence.related, seen.sequence.edited) == (number, number)
        assert seen.sequence.probing == (number == 3)


def test_noise_on_all_pixels_is_no_edit() -> None:
    asker = Asker()
    image = asker.noise()
    for number in range(12):
        seen = asker(asker.near(image))
        assert (seen.sequence.related, seen.sequence.edited) == (number, 0)
        assert not seen.sequence.probing


def test_exact_repeats_count_nowhere() -> None:
    asker = Asker()
    image = asker.picture()
    first = asker(image)
    asker.memory.answered(first, 3, False, 0.9)
    for _ in range(20):
        seen = asker(image)
        assert (seen.repeat, seen.number, seen.sequence.related) == (True, first.number, 0)
        assert seen.sequence.first_label == 3
        asker.memory.answered(seen, 4, True, 0.1)
    other = asker(asker.near(image))
    assert (other.repeat, other.sequence.related, other.sequence.alarms) == (False, 1, 0)
    assert asker(image).sequence is other.sequence
    assert other.sequence.related == 1


def test_answers_count_for_the_sequence_in_whatever_order_they_come() -> None:
    asker = Asker()
    image = asker.picture()
    first = asker(image)
    second = asker(asker.near(image))
    assert second.sequence.first_label == UNKNOWN
    asker.memory.answered(second, 5, True, 0.5)
    asker.memory.answered(first, 7, False, 0.9)
    third = asker(asker.near(image))
    asker.memory.answered(third, 7, False, 0.7)
    assert third.sequence is second.sequence
    assert (third.sequence.first_label, third.sequence.alarms, third.sequence.disagreeing) == (5, 1, 1)
    assert third.sequence.spread == pytest.approx(0.2)


def test_the_answer_to_the_first_query_is_remembered_for_its_relatives() -> None:
    asker = Asker()
    image = asker.picture()
    asker.memory.answered(asker(image), 7, True, 0.75)
    seen = asker(asker.near(image))
    assert (seen.sequence.first_label, seen.sequence.alarms) == (7, 1)


def test_queries_are_forgotten_by_age() -> None:
    asker = Asker(seconds=10)
    image = asker.picture()
    asker(image)
    asker.strangers(9)
    kept = asker(asker.near(image))
    assert kept.sequence.related == 1
    asker.strangers(10)
    assert asker(image).sequence.related == 0


def test_queries_are_forgotten_when_the_ring_went_round() -> None:
    asker = Asker(entries=64)
    assert asker.memory.capacity == 64
    image = asker.picture()
    asker(image)
    asker.strangers(63)
    assert asker(asker.near(image)).sequence.related == 1
    asker.strangers(64)
    assert asker(image).sequence.related == 0


def test_a_query_may_take_the_place_of_its_own_relative() -> None:
    asker = Asker(entries=16)
    image = asker.picture()
    asker.memory.answered(asker(image), 6, True, 0.5)
    asker.strangers(15)
    seen = asker(asker.near(image))
    assert (seen.sequence.related, seen.sequence.first_label, seen.sequence.alarms) == (1, 6, 1)


def test_numbers_go_on_after_those_of_the_tables_begin_anew() -> None:
    asker = Asker(entries=64)
    asker.memory._next = 2**24 - 1000
    asker.strangers(980)
    image = asker.picture()
    first = asker(image)
    asker.memory.answered(first, 2, False, 1.0)
    for related in range(1, 5):
        asker.strangers(14)
        seen = asker(asker.near(image))
        assert (seen.sequence.related, seen.sequence.first_label) == (related, 2)
    assert asker(image).sequence.related == 4
    assert asker.memory._next > 2**24 + 40


def test_a_lone_answer_that_comes_after_the_ring_went_round_marks_no_other_query() -> None:
    asker = Asker(entries=16)
    late = asker(asker.picture())
    asker.strangers(15)
    image = asker.picture()
    asker(image)
    asker.memory.answered(late, 9, True, 0.5)
    assert asker(asker.near(image)).sequence.alarms == 0


def test_the_number_of_sequences_is_bounded() -> None:
    asker = Asker(sequences=3)
    images = [asker.picture() for _ in range(5)]
    for image in images:
        asker(image)
        asker(asker.near(image))
    assert len(asker.memory.sequences) == 3
    assert asker(asker.near(images[4])).sequence.related == 2
    assert asker(asker.near(images[0])).sequence.related == 1
    assert len(asker.memory.sequences) == 3


def test_callers_of_a_sequence_are_bounded() -> None:
    asker = Asker()
    image = asker.picture()
    for number in range(40):
        seen = asker(asker.near(image), str(number))
    assert len(seen.sequence.callers) == 16
    assert seen.sequence.related == 39


def test_a_million_queries_take_less_than_half_a_gigabyte() -> None:
    """Nothing is written, so the system lends next to nothing."""
    memory = QueryMemory(1_000_000, 60, radius=10)
    assert memory.capacity >= 1_000_000
    assert memory.nbytes < 500e6
    assert QueryMemory(10**9, 60, radius=10).capacity == 1 << 22


def test_the_thresholds_are_those_given() -> None:
    asker = Asker()
    strict = QueryMemory(64, 60, radius=FINGERPRINT.radius, thresholds=Thresholds(settled=2))
    image = asker.picture()
    for number in range(4):
        near = asker.near(image)
        seen = strict.seen(FINGERPRINT.of(near), hashlib.sha256(near.tobytes()).digest(), "", 0.0)
        assert seen.sequence.probing == (number >= 2)
