from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.queries.clean_streams import KINDS, VIDEOS, Kind, Pixels, independent, near_duplicates
from service.probing.fingerprint import Fingerprint
from service.probing.sequence import WITHOUT_VIDEO, Thresholds

SIDE = 28
FINGERPRINT = Fingerprint(b"a key for these tests, 32 bytes.", SIDE, SIDE, 1)
LIMITS = (Thresholds(), WITHOUT_VIDEO)


def pictures(count: int, seed: int = 0) -> Pixels:
    coarse = np.random.default_rng(seed).integers(20, 236, (count, 7, 7, 1), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def agreeing(images: Pixels) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return np.zeros(len(images), np.int64), np.ones(len(images), np.float32)


def alternating(images: Pixels) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return np.arange(len(images)) % 2, np.ones(len(images), np.float32)


@pytest.mark.parametrize("kind", [*KINDS.values(), *VIDEOS.values()])
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 40, 3)])
def test_near_duplicates_are_images_like_the_first_and_follow_from_the_seed(
    kind: Kind, shape: tuple[int, int, int]
) -> None:
    image = np.random.default_rng(0).integers(60, 190, shape, dtype=np.uint8)
    frames, again = (np.stack(list(kind(image, np.random.default_rng(3)))) for _ in range(2))
    assert frames.shape[1:] == shape
    assert frames.dtype == np.uint8
    assert (frames == again).all()
    assert any((one != other).any() for one, other in pairwise(frames))
    assert 12 <= len(frames) <= 300


def test_a_slow_turn_moves_by_a_tenth_and_a_still_scene_not_at_all() -> None:
    random = np.random.default_rng(0)
    image = pictures(1)[0]
    turned = np.stack(list(VIDEOS["video, slow turn"](image, random))).astype(float)
    still = np.stack(list(VIDEOS["video, still scene"](image, random))).astype(float)
    assert np.abs(turned[-1] - turned[0]).mean() > 10
    assert np.abs(still[-1] - still[0]).mean() < 6


@pytest.mark.parametrize("kind", KINDS)
def test_bursts_and_other_copies_are_no_attack_even_where_answers_differ(kind: str) -> None:
    found = near_duplicates(KINDS[kind], pictures(6), FINGERPRINT, alternating, LIMITS, 1)
    assert (found.streams, found.alarmed) == (5, [0, 0])
    assert found.repeats > 5


def test_what_is_taken_for_an_attack_depends_on_the_thresholds_and_answers() -> None:
    still = VIDEOS["video, still scene"]
    agreed = near_duplicates(still, pictures(3), FINGERPRINT, agreeing, LIMITS, 1)
    assert agreed.alarmed == [0, 2]
    assert agreed.related == [299, 299]
    differed = near_duplicates(still, pictures(3), FINGERPRINT, alternating, LIMITS, 1)
    assert differed.alarmed == [0, 2]


def test_health_checks_and_retries_count_nowhere() -> None:
    found = near_duplicates(KINDS["burst, tripod"], pictures(11), FINGERPRINT, alternating, LIMITS, 1)
    assert found.related == [11] * 10
    copies = 12 * 10
    checks = copies // 10
    assert found.queries - found.repeats == copies + 1
    assert found.repeats > checks


def test_independent_images_are_no_relatives_and_equal_ones_repeats() -> None:
    apart = pictures(60)
    found = independent(apart[:30], apart[30:], FINGERPRINT, alternating, LIMITS)
    assert (found.streams, found.alarmed, max(found.related), found.repeats) == (30, [0, 0], 0, 0)
    found = independent(apart, apart, FINGERPRINT, alternating, LIMITS)
    assert (found.streams, found.alarmed, max(found.related), found.repeats) == (60, [0, 0], 0, 60)


def test_an_attack_among_independent_images_is_counted() -> None:
    random = np.random.default_rng(0)
    image = pictures(1)
    near = np.clip(image + random.integers(-4, 5, (20, SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
    found = independent(pictures(5, 1), near, FINGERPRINT, alternating, LIMITS)
    assert found.related == list(range(20))
    assert found.alarmed == [0, 20 - LIMITS[1].settled]
