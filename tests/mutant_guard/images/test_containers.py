"""Image containers: the picture is taken out, and no other part reaches a decoder."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mutant_guard.errors import BadImageError
from mutant_guard.images.containers import MAX_PARTS, MAX_SCANS, Picture, picture, webp_size
from mutant_guard.images.orientation import exif_of
from tests.support.service import chunk, encode, webp_of_size

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)
XMP = b'<x tiff:Orientation="6"/>'
PROFILE = b"\nexif\n      32\n" + exif_of(6).hex("\n", -36).encode() + b"\n"


def png(*chunks: bytes, after: bytes = b"") -> bytes:
    """Make a PNG with chunks before and after its picture."""
    whole = encode(GREY)
    return whole[:33] + b"".join(chunks) + whole[33:-12] + after + whole[-12:]


def segment(code: int, content: bytes) -> bytes:
    return bytes([0xFF, code]) + struct.pack(">H", len(content) + 2) + content


def jpeg(*segments: bytes, **options: object) -> bytes:
    """Make a JPEG with segments before its first."""
    whole = encode(COLOUR, "JPEG", **options)
    return whole[:2] + b"".join(segments) + whole[2:]


def same(one: bytes, other: bytes) -> bool:
    with Image.open(io.BytesIO(one)) as first, Image.open(io.BytesIO(other)) as second:
        return first.mode == second.mode and first.tobytes() == second.tobytes()


def test_a_plain_png_is_left_as_it_is() -> None:
    for body in (encode(GREY), encode(COLOUR), encode(Image.fromarray(COLOUR).quantize(9), transparency=1)):
        assert picture(body) == Picture(body)


def test_other_files_are_left_as_they_are() -> None:
    for body in (b"", b"text", encode(GREY, "WEBP"), encode(GREY, "GIF")):
        assert picture(body) == Picture(body)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"tEXt", b"transparency\0\1"),
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 22))),
        chunk(b"iTXt", b"bbox\0\0\0\0\0no box"),
        chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 22))),
        chunk(b"gAMA", b""),
        chunk(b"prVt", bytes(99)),
    ],
)
def test_what_is_not_the_picture_is_left_out_of_a_png(extra: bytes) -> None:
    assert picture(png(extra)) == picture(png(after=extra)) == Picture(encode(GREY))


def test_an_animated_png_stays_one() -> None:
    body = encode(GREY, save_all=True, append_images=[Image.fromarray(255 - GREY)])
    assert picture(body).file == body


def test_what_follows_the_end_of_a_png_is_left_out() -> None:
    assert picture(encode(GREY) + bytes(1000)).file == encode(GREY)


def test_a_png_cut_short_stays_so() -> None:
    body = encode(GREY)
    for length in range(8, len(body)):
        assert body.startswith(picture(body[:length]).file)


@pytest.mark.parametrize(
    ("extra", "exif", "xmp"),
    [
        (chunk(b"eXIf", exif_of(6)), exif_of(6), b""),
        (chunk(b"tEXt", b"Raw profile type exif\0" + PROFILE), exif_of(6), b""),
        (chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(PROFILE)), exif_of(6), b""),
        (chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0en\0translated\0" + XMP), b"", XMP),
        (chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)), b"", XMP),
        (chunk(b"tEXt", b"XML:com.adobe.xmp\0" + XMP), b"", XMP),
    ],
    ids=["exif", "profile", "packed profile", "xmp", "packed xmp", "xmp as text"],
)
def test_metadata_that_says_how_to_turn_a_png_is_handed_over(extra: bytes, exif: bytes, xmp: bytes) -> None:
    assert picture(png(extra)) == picture(png(after=extra)) == Picture(encode(GREY), exif, xmp)


def test_what_pillow_writes_into_a_png_is_found() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Raw profile type exif", PROFILE.decode(), zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode(), lang="en", tkey="xmp", zip=True)
    found = picture(encode(GREY, pnginfo=texts))
    assert found == Picture(encode(GREY), exif_of(6), XMP)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"Raw profile type exif\0\0no zlib"),
        chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 1\nno hex"),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no zlib"),
    ],
)
def test_metadata_that_is_damaged_is_none(extra: bytes) -> None:
    assert picture(png(extra)) == picture(encode(GREY))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(1 << 19))),
            "more than 262,144 bytes",
        ),
        (
            chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(1 << 19))),
            "more than 262,144 bytes",
        ),
    ],
)
def test_metadata_that_is_too_large_unpacked_is_refused(extra: bytes, message: str) -> None:
    with pytest.raises(BadImageError, match=rf"{message}.*; save it without"):
        picture(png(extra))


@pytest.mark.parametrize(
    "text", [b"Raw profile type exif\0", b"XML:com.adobe.xmp\0", b"XML:com.adobe.xmp\0\0"]
)
@pytest.mark.parametrize("kind", [b"tEXt", b"iTXt"])
def test_empty_metadata_is_none(kind: bytes, text: bytes) -> None:
    found = picture(png(chunk(kind, text)))
    assert (found.exif, found.xmp.strip(b"\0")) == (b"", b"")


def test_a_png_of_too_many_chunks_is_refused() -> None:
    with pytest.raises(BadImageError, match=f"more than {MAX_PARTS:,} chunks; save it anew"):
        picture(png(chunk(b"IDAT", b"") * MAX_PARTS))
    assert picture(png(chunk(b"prVt", b"") * (MAX_PARTS - 10))).file == encode(GREY)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 2}, {"restart_marker_blocks": 1}]
)
def test_the_picture_of_a_jpeg_is_what_it_was(options: dict[str, object]) -> None:
    extra = [segment(0xE2, b"ICC_PROFILE\0\1\1x"), segment(0xED, b"Photoshop"), segment(0xFE, b"comment")]
    plain, body = jpeg(**options), jpeg(*extra, **options)
    assert picture(body).file == picture(plain).file == plain
    assert same(picture(body).file, plain)


def test_the_colours_of_an_adobe_jpeg_are_what_they_were() -> None:
    body = encode(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", comment=b"c")
    assert same(picture(body).file, body)
    assert b"Adobe" in picture(body).file


def test_metadata_that_says_how_to_turn_a_jpeg_is_handed_over() -> None:
    exif = b"Exif\0\0" + exif_of(6)[6:]
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
    found = picture(jpeg(xmp, segment(0xE1, exif[:20]), segment(0xE1, b"Exif\0\0" + exif[20:])))
    assert found == Picture(jpeg(), exif[6:], XMP)


def test_a_picture_with_pictures_behind_it_is_read_as_the_first() -> None:
    body = encode(COLOUR, "MPO", save_all=True, append_images=[Image.fromarray(COLOUR)])
    with Image.open(io.BytesIO(picture(body).file)) as image:
        assert image.format == "JPEG"
    assert same(picture(body).file, body)


@pytest.mark.parametrize("junk", [b"\xff" * 9, b"junk", b"\xff\0", b"\xff\xd0", b"\xff\1", b"\xff\xd8"])
def test_junk_between_segments_is_left_out(junk: bytes) -> None:
    assert picture(jpeg(junk)).file == jpeg()


def test_junk_may_be_long() -> None:
    for length in (1 << 18, (1 << 18) - 1, (1 << 18) + 1, 1 << 20):
        assert picture(jpeg(b"\xff" * length)).file == jpeg()


def test_a_jpeg_cut_short_stays_so() -> None:
    body = jpeg()
    for length in range(2, len(body)):
        assert body.startswith(picture(body[:length]).file)


def test_a_jpeg_of_too_many_segments_is_refused() -> None:
    with pytest.raises(BadImageError, match=f"more than {MAX_PARTS:,} segments; save it anew"):
        picture(jpeg(segment(0xE5, b"") * (MAX_PARTS + 1)))


@pytest.mark.parametrize("size", [(1, 1), (8, 5), (300, 7), (16_383, 1)])
@pytest.mark.parametrize(
    "options", [{}, {"lossless": True}, {"exif": exif_of(6)}], ids=["VP8", "VP8L", "VP8X"]
)
def test_a_webp_says_its_size(size: tuple[int, int], options: dict[str, object]) -> None:
    assert webp_size(encode(Image.new("RGB", size), "WEBP", **options)) == size


def test_a_canvas_says_its_size_and_other_files_none() -> None:
    assert webp_size(webp_of_size(16_384, 70_000)) == (16_384, 70_000)
    for body in (b"", b"RIFF", encode(GREY), jpeg(), webp_of_size(8, 8)[:29]):
        assert webp_size(body) is None
    assert webp_size(webp_of_size(8, 8).replace(b"VP8X", b"abcd")) is None


def progressive(scans: int) -> bytes:
    """Make a progressive JPEG of 8×8 grey pixels.

    One scan holds the means, and the others add nothing.
    """

    def scan(first: int, last: int) -> bytes:
        return segment(0xDA, bytes([1, 1, 0, first, last, 0])) + b"\0"

    tables = [
        segment(0xDB, b"\0" + b"\1" * 64),
        segment(0xC2, struct.pack(">BHHB", 8, 8, 8, 1) + b"\1\x11\0"),
    ]
    tables += [segment(0xC4, bytes([kind, 1, *bytes(15), 0])) for kind in (0, 0x10)]
    return b"\xff\xd8" + b"".join(tables) + scan(0, 0) + scan(1, 63) * (scans - 1) + b"\xff\xd9"


def test_a_jpeg_of_too_many_scans_is_refused() -> None:
    with Image.open(io.BytesIO(picture(progressive(MAX_SCANS)).file)) as image:
        assert image.getextrema() == (128, 128)
    with pytest.raises(BadImageError, match=f"more than {MAX_SCANS} scans; save it anew"):
        picture(progressive(MAX_SCANS + 1))


def test_scans_hide_in_no_segment_and_count_no_further_than_the_image() -> None:
    inside = segment(0xFE, b"\xff\xd9" + b"\xff\xda" * 300)
    body = progressive(2)
    assert picture(body + b"\xff\xda" * 300).file == body + b"\xff\xda" * 300
    assert picture(body[:-2] + inside + body[-2:]).file == body[:-2] + inside + body[-2:]
    many = progressive(MAX_SCANS + 1)
    with pytest.raises(BadImageError, match="scans"):
        picture(many[:-2].replace(b"\xff\xda", inside + b"\xff\xda").replace(inside, b"", 1) + many[-2:])
