"""Plain files: decoded without Pillow's plugins, to the pixels that these give."""

import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from benchmarks.fuzz import seeds
from benchmarks.fuzz.asks import drawing
from benchmarks.fuzz.mutations.images import mutate
from mutant_guard.errors import BadImageError, TooManyPixelsError
from mutant_guard.images import decoding
from mutant_guard.images.containers import picture
from mutant_guard.images.decoding import decode_whole
from mutant_guard.images.plain import plain_file
from tests.support.service import chunk, encode

NOISE = np.random.default_rng(0).integers(0, 256, (37, 23, 3), dtype=np.uint8)
GREY = NOISE[:, :, 0]
PLAIN = [
    *(encode(pixels, "PNG", compress_level=level) for pixels in (GREY, NOISE) for level in (0, 1, 9)),
    *(encode(GREY, "JPEG", quality=quality, progressive=quality > 80) for quality in (5, 75, 95)),
    *(encode(NOISE, "JPEG", quality=80, subsampling=way, progressive=way > 1) for way in (0, 1, 2)),
    encode(NOISE, "JPEG", keep_rgb=True),
]


def plugin_pixels(body: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(body)) as image:
        return np.asarray(image)


def outcome(body: bytes) -> tuple[str, object]:
    """Return mode and pixels of a file, or that it is refused."""
    try:
        image = decode_whole(body, 1 << 20)
    except (BadImageError, TooManyPixelsError):
        return "refused", None
    return image.mode, (image.size, image.tobytes())


@pytest.mark.parametrize("body", PLAIN)
def test_a_plain_file_has_the_pixels_of_the_plugin(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.open", None)
    image = decode_whole(body, 1 << 20)
    monkeypatch.undo()
    np.testing.assert_array_equal(np.asarray(image), plugin_pixels(body))


def png(colour: int = 0, depth: int = 8, *, interlaced: int = 0, after: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", 8, 8, depth, colour, 0, 0, interlaced)
    rows = zlib.compress(b"".join(bytes(1 + 8 * 4 * depth // 8) for _ in range(8)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + after + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        encode(NOISE, "WEBP"),
        png(depth=16),
        png(depth=1),
        png(colour=3, after=chunk(b"PLTE", bytes(9))),
        png(colour=6),
        png(interlaced=1),
        png(after=chunk(b"tRNS", b"\0\1")),
        png(after=chunk(b"acTL", struct.pack(">II", 2, 0))),
        png().replace(b"IEND", b"IEDN"),
        png()[:-1],
        b"\x89PNG\r\n\x1a\n" + png()[33:],
        png()[:30] + b"\0" + png()[31:],
        encode(Image.fromarray(NOISE).convert("CMYK"), "JPEG"),
        b"\xff\xd8\xff\xd9",
        PLAIN[6].replace(b"\xff\xc0", b"\xff\xc3", 1),
        PLAIN[6].replace(b"\0\x10JFIF\0", b"\0\x08JFIF\0", 1),
    ],
)
def test_what_is_more_than_samples_is_for_the_plugin(body: bytes) -> None:
    assert plain_file(picture(body)) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_samples_cut_short_are_for_the_plugin_which_tells_why(kind: str) -> None:
    whole = encode(NOISE, kind)
    cut = {"PNG": whole[:33] + chunk(b"IDAT", whole[41:200]) + whole[-12:], "JPEG": whole[: len(whole) // 2]}
    body = cut[kind]
    found = plain_file(picture(body))
    assert found is not None
    assert found.decode() is None
    with pytest.raises(BadImageError, match="cut short"):
        decode_whole(body, 1 << 20)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_limit_on_pixels_is_checked_before_samples_are_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = encode(NOISE, kind)
    monkeypatch.setattr("PIL.Image.frombytes", None)
    with pytest.raises(TooManyPixelsError, match="23×37, more than 850 pixels"):
        decode_whole(body, 850)


def test_a_file_that_is_to_be_turned_is_for_the_plugin() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("PNG", "JPEG"):
        assert decode_whole(encode(NOISE, kind, exif=exif.tobytes()), 1 << 20).size == (37, 23)


def test_texts_and_comments_leave_a_file_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Software", "of a camera")
    exif = Image.Exif()
    exif[0x0112] = 1
    bodies = [encode(NOISE, "PNG", pnginfo=texts, exif=exif.tobytes())]
    bodies.append(encode(NOISE, "JPEG", comment="of a camera", exif=exif.tobytes()))
    wanted = [plugin_pixels(body) for body in bodies]
    monkeypatch.setattr("PIL.Image.open", None)
    for body, pixels in zip(bodies, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(decode_whole(body, 1 << 20)), pixels)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damage that it skips
def test_changed_files_end_as_they_do_with_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    random, corpus, plain, unlike = drawing(0), [*PLAIN, *seeds.images()], 0, 0
    for _ in range(3000):
        body = mutate(random.choice(corpus), random)
        found = outcome(body)
        with monkeypatch.context() as patch:
            patch.setattr(decoding, "plain_file", lambda picture: None)
            expected = outcome(body)
        plain += found != ("refused", None)
        if found != expected:  # the pixels are whole, and what comes behind them is damaged
            assert expected == ("refused", None)
            unlike += 1
    assert plain > 300
    assert unlike <= 3
