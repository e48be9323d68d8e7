"""The secret order: a function of key and pixels alone, and the key that makes it."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mutant_guard.images.decoding import decode
from mutant_guard.runtime.order import Order
from mutant_guard.store.manifest import InputSpec
from tests.support.service import digits, encode

POOL, DECKS = 60, 16
SPEC = InputSpec(height=8, width=8, channels=1, mean=[0], std=[1], layout="nchw", resize="exact")


def order(key: bytes = b"key", *, decks: int = DECKS) -> Order:
    return Order(key, pool=POOL, decks=decks)


def random_images(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)


def test_the_same_pixels_meet_the_same_order_every_time() -> None:
    dealt = order()
    for image in random_images(50):
        assert (dealt.mutants(image) == dealt.mutants(image.copy())).all()
        assert (order().mutants(image) == dealt.mutants(image)).all()


REPLICA = """
import json, sys
import numpy as np
from mutant_guard.runtime.order import Order

images = np.random.default_rng(1).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)
order = Order(sys.argv[1].encode(), pool=60, decks=1024)
print(json.dumps([order.mutants(image).tolist() for image in images]))
"""


def test_replicas_that_share_a_key_agree_and_others_do_not() -> None:
    """Each replica is a process of its own, with its own hash seed."""
    here = [Order(b"key", pool=POOL, decks=1024).mutants(image).tolist() for image in random_images(50)]
    for key, hash_seed in (("key", "1"), ("key", "2"), ("another", "1")):
        done = subprocess.run(
            [sys.executable, "-c", REPLICA, key],
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
            cwd=Path(__file__).parents[3],
            env={"PYTHONHASHSEED": hash_seed},
        )
        assert (json.loads(done.stdout) == here) is (key == "key")


def test_an_order_holds_every_mutant_once_and_never_the_original() -> None:
    for image in random_images(50):
        assert sorted(order().mutants(image).tolist()) == list(range(1, POOL + 1))


def test_an_order_cannot_be_changed_by_who_gets_it() -> None:
    with pytest.raises(ValueError, match="read-only"):
        order().mutants(random_images(1)[0])[0] = 1


def test_another_key_gives_other_orders_and_another_id() -> None:
    images = random_images(100)
    same = sum((order(b"a").mutants(x) == order(b"b").mutants(x)).all() for x in images)
    assert same == 0
    assert order(b"a").key_id != order(b"b").key_id


def test_the_key_id_does_not_hold_the_key() -> None:
    assert "secret" not in order(b"secret").key_id
    assert len(order(b"secret").key_id) == 12


def test_one_changed_pixel_may_draw_another_deck() -> None:
    image = random_images(1)[0]
    drawn = set()
    for value in range(256):
        image[0, 0, 0] = value
        drawn.add(tuple(order().mutants(image).tolist()))
    assert len(drawn) == DECKS


def test_the_shape_belongs_to_the_pixels() -> None:
    flat = np.zeros((4, 16, 1), np.uint8)
    differ = sum(
        not np.array_equal(order(bytes([k])).mutants(flat), order(bytes([k])).mutants(flat.reshape(8, 8, 1)))
        for k in range(20)
    )
    assert differ > 10


def test_encoding_the_same_pixels_anew_changes_nothing() -> None:
    for image in digits(20):
        files = encodings(image)
        assert len(set(files.values())) == len(files) == 10
        dealt = Order(b"key", pool=POOL, decks=2**32)
        orders = {tuple(dealt.mutants(decode(file, SPEC, 64)).tolist()) for file in files.values()}
        assert orders == {tuple(dealt.mutants(image[:, :, None]).tolist())}


def encodings(pixels: NDArray[np.uint8]) -> dict[str, bytes]:
    """Return files of several formats that show the same grey pixels."""
    grey = Image.fromarray(pixels)
    sideways = Image.Exif()
    sideways[0x0112] = 6  # to be turned a quarter clockwise
    titled = PngInfo()
    titled.add_text("Title", "a digit")
    return {
        **{f"level {level}": encode(grey, compress_level=level) for level in (0, 1, 9)},
        "WebP": encode(grey, "WEBP", lossless=True),
        "palette": encode(grey.convert("P", palette=Image.Palette.ADAPTIVE, colors=256)),
        "RGB": encode(grey.convert("RGB")),
        "opaque": encode(grey.convert("RGBA")),
        "16 bits": encode(Image.fromarray(pixels.astype(np.uint16) * 257)),
        "metadata": encode(grey, pnginfo=titled),
        "turned": encode(grey.transpose(Image.Transpose.ROTATE_90), exif=sideways),
    }


# Quantiles of χ² that a fair draw exceeds once in a thousand times, by degrees of freedom. The
# draws here are seeded.
CHI_SQUARE = {9: 27.88, 15: 37.70, 89: 135.98}
# Quantiles exceeded once in ten thousand times, for comparing ten statistics at once.
CHI_SQUARE_OF_TEN = {9: 33.72}


def chi_square(drawn: Counter[Any], kinds: int) -> float:
    """Return the χ² distance of counts from equal frequencies, on kinds − 1 degrees of freedom."""
    expected = drawn.total() / kinds
    missing = (kinds - len(drawn)) * expected
    return sum((count - expected) ** 2 / expected for count in drawn.values()) + missing


def test_decks_are_drawn_uniformly() -> None:
    """Random images draw uniformly, and so do images that differ in hardly a pixel."""
    dealt = order()
    alike = np.zeros((4000, 8, 8, 1), np.uint8)
    alike[:, 0, 0, 0], alike[:, 7, 7, 0] = np.divmod(np.arange(4000), 256)
    for images in (random_images(8000), alike):
        drawn = Counter(tuple(dealt.mutants(image).tolist()) for image in images)
        assert len(drawn) == DECKS
        assert chi_square(drawn, DECKS) < CHI_SQUARE[15]


def test_every_mutant_is_in_every_place_equally_often_over_many_decks() -> None:
    images = random_images(8000)
    dealt = Order(b"key", pool=10, decks=2**32)
    orders = np.array([dealt.mutants(image) for image in images])
    assert len(np.unique(orders, axis=0)) > 7900  # of 10! orders, hardly any deck comes twice
    for place in range(10):
        assert chi_square(Counter(orders[:, place].tolist()), 10) < CHI_SQUARE_OF_TEN[9], place


def test_what_follows_a_mutant_is_any_other_equally_often() -> None:
    """Rotations of a single deck would also have every mutant in every place equally often."""
    dealt = Order(b"key", pool=10, decks=2**32)
    pairs = Counter(tuple(dealt.mutants(image)[:2].tolist()) for image in random_images(9000))
    assert chi_square(pairs, 90) < CHI_SQUARE[89]


def test_the_order_is_the_one_of_earlier_releases() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    dealt = Order(b"known", pool=12, decks=1024)
    assert dealt.mutants(image).tolist() == [11, 12, 1, 3, 7, 6, 5, 8, 10, 2, 9, 4]
    assert dealt.key_id == "12e7c650e936"
