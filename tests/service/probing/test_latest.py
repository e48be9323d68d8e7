from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.queries.clean_streams import KINDS, VIDEOS
from service.probing.clue import Clue
from service.probing.fingerprint import SKETCH, Fingerprint
from service.probing.latest import MEMBERS, Latest

KEY = b"a key for these tests, 32 bytes."
SHAPES = [(28, 28, 1), (32, 32, 3), (224, 224, 3)]
Pixels = NDArray[np.uint8]


def picture(shape: tuple[int, int, int], seed: int) -> Pixels:
    """Return an image of patches that leave room for changes."""
    random = np.random.default_rng(seed)
    coarse = random.integers(90, 166, (4, 4, shape[2])).repeat(shape[0] // 4, axis=0)
    texture = random.integers(-9, 10, shape)
    return (coarse.repeat(shape[1] // 4, axis=1) + texture).astype(np.uint8)


def rounded(values: NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def clues(images: Iterable[Pixels]) -> list[Clue]:
    """Return the clue of every image but the first."""
    found: list[Clue] = []
    latest: Latest | None = None
    for image in images:
        made = Fingerprint(KEY, *image.shape).of(image)
        if latest is None:
            latest = Latest(made.detail)
        else:
            found.append(latest.clue(made))
            latest.add(made.detail)
    return found


def bisected(shape: tuple[int, int, int], ways: str, first: float = 1.0) -> list[Pixels]:
    """Return what a search between two images asks for, that goes up or down by the letters of ``ways``."""
    start, end = picture(shape, 1).astype(float), picture(shape, 2).astype(float)
    low, high, asked = 0.0, first, []
    for way in ways:
        middle = (low + high) / 2
        asked.append(rounded(start + middle * (end - start)))
        low, high = (middle, high) if way == "u" else (low, middle)
    return asked


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ways", ["uuuuu", "ddddd", "ududu", "uddud"])
def test_halved_steps_are_counted_in_a_row(shape: tuple[int, int, int], ways: str) -> None:
    found = clues(bisected(shape, ways))
    assert [clue.halvings for clue in found][:4] == [0, 1, 2, 3]
    assert not any(clue.sampled for clue in found)


def test_a_step_of_another_length_or_way_ends_the_row() -> None:
    asked = bisected((28, 28, 1), "uud")
    noise = np.random.default_rng(0).normal(0, 6, asked[0].shape)
    for other in (rounded(asked[-1] + noise), rounded(2.0 * asked[-1] - asked[-2])):
        assert [clue.halvings for clue in clues([*asked, other])] == [0, 1, 0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_samples_around_an_image_that_was_asked_for_are_seen(shape: tuple[int, int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    centre = picture(shape, seed)
    samples = [rounded(centre + random.normal(0, 6, shape)) for _ in range(12)]
    found = [clue.sampled for clue in clues([centre, *samples])]
    assert found[:3] == [False] * 3
    assert sum(found[3:]) >= 7
    assert not any(clue.sampled for clue in clues(samples))
    assert not any(clue.halvings for clue in clues([centre, *samples]))


@pytest.mark.parametrize("kind", [*KINDS.values(), *VIDEOS.values()])
@pytest.mark.parametrize("shape", SHAPES)
def test_bursts_copies_and_videos_give_no_clue_that_counts(
    kind: type[object], shape: tuple[int, int, int]
) -> None:
    frames = list(kind(picture(shape, 1), np.random.default_rng(1)))  # type: ignore[call-arg, call-overload]
    found = clues(frames)
    assert max(clue.halvings for clue in found) < 2
    assert sum(clue.sampled for clue in found) < 2


def test_brighter_and_darker_samples_are_samples_still() -> None:
    """What is the same in all images, or goes with the image itself, is left out."""
    random = np.random.default_rng(1)
    centre = picture((28, 28, 1), 3).astype(float)
    samples = [
        rounded(
            centre * (1 + 0.05 * random.random()) + 6 * random.random() + random.normal(0, 6, centre.shape)
        )
        for _ in range(10)
    ]
    found = [clue.sampled for clue in clues([rounded(centre), *samples])]
    assert sum(found[3:]) >= 5


def test_the_latest_queries_are_kept_and_bytes_are_read() -> None:
    random = np.random.default_rng(0)
    centre = picture((28, 28, 1), 1)
    samples = [rounded(centre + random.normal(0, 6, centre.shape)) for _ in range(MEMBERS + 1)]
    assert not clues([centre, *samples])[-1].sampled
    fingerprint = Fingerprint(KEY, 28, 28, 1)
    prints = [fingerprint.of(image) for image in (centre, *samples)]
    read = Latest(b"".join(each.detail.tobytes() for each in prints[:5]))
    written = Latest(prints[0].detail)
    for each in prints[1:5]:
        written.add(each.detail)
    assert read.clue(prints[5]) == written.clue(prints[5]) == Clue(0, True)
    assert Latest(b"").clue(prints[0]) == Latest(bytes(SKETCH)).clue(prints[0]) == Clue()
