import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from service.probing.fingerprint import EDITED, SKETCH, STEPS, TABLES, WINDOWS, Fingerprint, distances, shared

KEY = b"a key for these tests, 32 bytes."
SHAPES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (37, 61, 3), (224, 224, 3), (600, 520, 1), (16, 1600, 3)]


def picture(shape: tuple[int, int, int], seed: int) -> NDArray[np.uint8]:
    """Return an image of large patches, as photographs have them."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (4, 4, shape[2]))
    rows, columns = np.arange(shape[0]) * 4 // shape[0], np.arange(shape[1]) * 4 // shape[1]
    return coarse[rows][:, columns].astype(np.uint8)


def noisy(pixels: NDArray[np.uint8], sigma: float, seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, sigma, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def means(pixels: NDArray[np.uint8], blocks: tuple[int, int]) -> NDArray[np.float64]:
    """Return block means by loops."""
    height, width, _ = pixels.shape
    rows, columns = np.arange(height) * blocks[0] // height, np.arange(width) * blocks[1] // width
    return np.array(
        [[pixels[rows == r][:, columns == c].mean() for c in range(blocks[1])] for r in range(blocks[0])]
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_near_images_have_a_token_in_common_and_near_sketches(shape: tuple[int, int, int]) -> None:
    fingerprint = Fingerprint(KEY, *shape)
    first = picture(shape, 1)
    one, other = fingerprint.of(first), fingerprint.of(noisy(first, 4))
    assert one.tokens.shape == (TABLES,)
    assert one.sketch.shape == (SKETCH,)
    assert (one.tokens == other.tokens).any()
    assert distances(one.sketch, other.sketch[None])[0] < fingerprint.radius


@pytest.mark.parametrize("shape", SHAPES)
def test_other_images_have_no_token_in_common_and_far_sketches(shape: tuple[int, int, int]) -> None:
    fingerprint = Fingerprint(KEY, *shape)
    prints = [fingerprint.of(picture(shape, seed)) for seed in range(20)]
    for number, one in enumerate(prints):
        others = prints[number + 1 :]
        assert not any((one.tokens == other.tokens).any() for other in others)
        if others:
            far = distances(one.sketch, np.stack([other.sketch for other in others]))
            assert far.min() > 1.4 * fingerprint.radius


@pytest.mark.parametrize(
    ("shape", "blocks"),
    [((28, 28, 1), (14, 14)), ((32, 32, 3), (16, 16)), ((37, 61, 3), (16, 16)), ((260, 224, 3), (16, 16))],
)
def test_sketches_estimate_the_distance_of_block_means(
    shape: tuple[int, int, int], blocks: tuple[int, int]
) -> None:
    fingerprint = Fingerprint(KEY, *shape)
    first = picture(shape, 1)
    ratios = []
    for seed in range(10):
        second = noisy((first * 0.95 + picture(shape, seed + 2) * 0.05).astype(np.uint8), 8, seed)
        true = np.sqrt(((means(first, blocks) - means(second, blocks)) ** 2).mean())
        seen = distances(fingerprint.of(first).sketch, fingerprint.of(second).sketch[None])[0]
        ratios.append(seen / true)
    assert np.mean(ratios) == pytest.approx(1, abs=0.07)
    assert np.abs(np.array(ratios) - 1).max() < 0.35


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (37, 61, 3), (224, 224, 3)])
def test_windows_tell_a_replaced_part_from_noise_everywhere(shape: tuple[int, int, int]) -> None:
    fingerprint = Fingerprint(KEY, *shape)
    image = noisy(picture(shape, 1), 20)
    edited = image.copy()
    edited[: shape[0] // 3, : shape[1] // 3] = 255 - edited[: shape[0] // 3, : shape[1] // 3]
    windows = fingerprint.of(image).windows
    assert windows.shape == (WINDOWS,)
    others = [edited, noisy(image, 2), np.roll(image, 1, axis=1), picture(shape, 2)]
    counts = shared(windows, np.stack([fingerprint.of(other).windows for other in others]))
    assert counts[0] >= EDITED
    assert counts[1:].max() == 0


def test_flat_windows_are_never_in_common() -> None:
    fingerprint = Fingerprint(KEY, 28, 28, 1)
    image = np.zeros((28, 28, 1), np.uint8)
    image[::2] = 255
    one = fingerprint.of(image).windows
    assert not one.any()
    assert shared(one, one[None]).tolist() == [0]


def test_another_key_or_size_makes_other_prints() -> None:
    image = picture((28, 28, 1), 3)
    one = Fingerprint(KEY, 28, 28, 1).of(image)
    other = Fingerprint(KEY[::-1], 28, 28, 1).of(image)
    assert not (one.tokens == other.tokens).any()
    assert distances(one.sketch, other.sketch[None])[0] > 16
    assert shared(one.windows, other.windows[None])[0] == 0
    turned = Fingerprint(KEY, 14, 56, 1).of(image.reshape(14, 56, 1))
    assert not (one.tokens == turned.tokens).any()


def test_prints_are_the_same_in_every_process() -> None:
    """Replicas share a memory; a single step that differs would lose relatives."""
    script = """
import numpy as np
from service.probing.fingerprint import Fingerprint
pixels = (np.arange(28 * 28) * 7 % 256).astype(np.uint8).reshape(28, 28, 1)
made = Fingerprint(b"a key for these tests, 32 bytes.", 28, 28, 1).of(pixels)
print(made.tokens.tobytes().hex(), made.sketch.tobytes().hex(), made.windows.tobytes().hex())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    pixels = (np.arange(28 * 28) * 7 % 256).astype(np.uint8).reshape(28, 28, 1)
    made = Fingerprint(KEY, 28, 28, 1).of(pixels)
    parts = (made.tokens, made.sketch, made.windows)
    assert done.stdout.split() == [part.tobytes().hex() for part in parts]


def test_black_and_white_images_are_far_apart() -> None:
    fingerprint = Fingerprint(KEY, 600, 520, 1)
    black = fingerprint.of(np.zeros((600, 520, 1), np.uint8))
    white = fingerprint.of(np.full((600, 520, 1), 255, np.uint8))
    assert distances(black.sketch, white.sketch[None])[0] > 1.5 * fingerprint.radius


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_on_single_pixels_shows_in_the_detail(shape: tuple[int, int, int]) -> None:
    fingerprint = Fingerprint(KEY, *shape)
    image = picture(shape, 1) // 2 + 64
    one, other = fingerprint.of(image), fingerprint.of(noisy(image, 12))
    assert distances(one.detail, other.detail[None])[0] > 2
    if one.detail is one.sketch:
        assert shape[0] * shape[1] <= 37 * 61
    else:
        assert distances(one.sketch, other.sketch[None])[0] < 1.5


def test_the_detail_is_of_patches_within_blocks() -> None:
    """A change of one block of 256 moves every projection by a sixteenth of it."""
    fingerprint = Fingerprint(KEY, 224, 224, 3)
    image = np.full((224, 224, 3), 100, np.uint8)
    changed = image.copy()
    changed[14:28, 42:56] = 140
    gap = fingerprint.of(changed).place - fingerprint.of(image).place
    assert np.allclose(np.abs(gap), 40 * STEPS / 16, atol=0.01)
    patched = changed.copy()
    patched[14:28, 42:56] = np.random.default_rng(0).integers(0, 256, (14, 14, 3))
    gaps = [
        np.abs(made.of(patched).place - made.of(image).place).max()
        for made in (fingerprint, Fingerprint(b"another key for these tests, 32.", 224, 224, 3))
    ]
    assert gaps[0] != gaps[1]  # the key says where in a block its patch lies
