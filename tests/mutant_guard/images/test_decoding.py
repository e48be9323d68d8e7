"""Decoding of files to pixels: what is accepted and refused, and the low cost of refusing."""

import io
import resource
import time
import zlib
from typing import IO, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin, TiffImagePlugin

from benchmarks.fuzz import seeds
from benchmarks.fuzz.asks import drawing
from benchmarks.fuzz.mutations.images import mutate
from benchmarks.fuzz.parts import read
from mutant_guard.errors import BadImageError, TooManyPixelsError
from mutant_guard.images.decoding import convert, decode
from mutant_guard.store.manifest import InputSpec
from tests.support.service import chunk, encode, png_of_size, webp_of_size

MAX_PIXELS = 1_000_000
XMP = b'<x tiff:Orientation="6"/>'
GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)
CORPUS = seeds.images()


def spec(channels: Literal[1, 3] = 1, resize: Literal["exact", "bilinear"] = "exact") -> InputSpec:
    ones = [1.0] * channels
    return InputSpec(height=8, width=8, channels=channels, mean=ones, std=ones, layout="nchw", resize=resize)


def pixels(body: bytes, wanted: InputSpec | None = None) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return decode(body, wanted or spec(), MAX_PIXELS)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("PNG", {"compress_level": 0}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 100})],
)
def test_every_format_gives_the_pixels_that_were_stored(
    kind: str, options: dict[str, object], channels: Literal[1, 3]
) -> None:
    stored = GREY if channels == 1 else COLOUR // 8 + 100
    found = pixels(encode(stored, kind, **options), spec(channels))
    assert found.dtype == np.uint8
    assert found.shape == (8, 8, channels)
    slack = 4 if kind == "JPEG" else 0
    assert np.abs(found.astype(int) - stored.reshape(8, 8, channels)).max() <= slack


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b"label,image\n7,0\n", "no PNG, JPEG or WebP image"),
        (encode(GREY, "GIF"), "no PNG, JPEG or WebP image"),
        (encode(GREY, "BMP"), "no PNG, JPEG or WebP image"),
        (encode(GREY, "TIFF"), "no PNG, JPEG or WebP image"),
    ],
    ids=["empty", "text", "gif", "bmp", "tiff"],
)
def test_what_is_no_image_of_the_allowed_formats_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(BadImageError, match=message):
        pixels(body)


@pytest.mark.parametrize("header", [b"", chunk(b"IHDR", b""), chunk(b"IHDR", bytes(8))])
def test_a_png_with_a_transparent_colour_and_no_whole_header_is_refused(header: bytes) -> None:
    whole = encode(GREY)
    with pytest.raises(BadImageError, match=r"no PNG|damaged"):
        pixels(whole[:8] + header + chunk(b"tRNS", b"\0\1") + whole[33:])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_file_cut_short_is_refused(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    whole = encode(noise, kind)
    with pytest.raises(BadImageError, match=r"cut short|damaged|no PNG"):
        pixels(whole[: len(whole) * 2 // 3])


@pytest.mark.parametrize(
    "body",
    [png_of_size(30_000, 30_000, zlib.compress(bytes(4 << 20))), webp_of_size(16_000, 16_000)],
    ids=["png", "webp"],
)
def test_a_decompression_bomb_is_refused_before_anything_is_decoded(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: ImageFile.ImageFile) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    monkeypatch.setattr("PIL.Image.frombytes", load)
    monkeypatch.setattr("PIL._webp.WebPAnimDecoder", load)  # the constructor allocates memory for the picture
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", load)
    assert len(body) < 10_000
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(BadImageError, match=r"0×\d+, more than 1,000,000 pixels; send a smaller one"):
        pixels(body)
    assert time.process_time() - started < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024  # KiB


def test_the_pixel_limit_takes_an_image_of_exactly_that_many() -> None:
    assert decode(encode(GREY), spec(), 64).shape == (8, 8, 1)
    with pytest.raises(BadImageError, match="8×8, more than 63 pixels"):
        decode(encode(GREY), spec(), 63)


@pytest.mark.parametrize("size", [(65_536, 1), (1, 65_536)])
def test_a_side_longer_than_any_jpegs_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(TooManyPixelsError, match="a side longer than 65,535 pixels; send a smaller one"):
        pixels(png_of_size(*size), spec(resize="bilinear"))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused_with_the_number_of_its_frames(kind: str) -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY), Image.fromarray(GREY.T.copy())]
    body = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    with pytest.raises(BadImageError, match=r"animated \(3 frames\); send a still image"):
        pixels(body)


def test_16_bit_grey_is_scaled_over_its_whole_range() -> None:
    stored = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    stored[0, :4] = [0, 128, 129, 65535]
    found = pixels(encode(Image.fromarray(stored)))[:, :, 0]
    assert found[0, :4].tolist() == [0, 0, 1, 255]
    assert (found == np.rint(stored * (255 / 65535))).all()


def test_a_palette_is_expanded() -> None:
    indexed = Image.fromarray(COLOUR).quantize(64)
    expected = np.asarray(indexed.convert("RGB"))
    assert (pixels(encode(indexed), spec(3)) == expected).all()


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_opaque_alpha_changes_nothing(kind: str, options: dict[str, object]) -> None:
    opaque = np.dstack([COLOUR, np.full((8, 8), 255, np.uint8)])
    assert (pixels(encode(opaque, kind, **options), spec(3)) == COLOUR).all()
    assert (pixels(encode(opaque, kind, **options)) == pixels(encode(COLOUR, kind, **options))).all()


def test_an_opaque_palette_entry_for_transparency_is_no_transparency() -> None:
    grey = Image.fromarray(GREY)
    assert (pixels(encode(grey, transparency=1))[:, :, 0] == GREY).all()


@pytest.mark.parametrize(
    "body",
    [
        encode(np.dstack([COLOUR, GREY])),
        encode(np.dstack([COLOUR, GREY]), "WEBP", lossless=True),
        encode(Image.fromarray(GREY), transparency=int(GREY[0, 0])),
        encode(Image.fromarray(COLOUR).quantize(16), transparency=0),
    ],
    ids=["rgba png", "rgba webp", "grey value", "palette entry"],
)
def test_transparent_pixels_are_refused_with_the_remedy(body: bytes) -> None:
    with pytest.raises(BadImageError, match="transparent pixels; flatten it onto a background first"):
        pixels(body, spec(3))


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(1, GREY), (3, np.rot90(GREY, 2)), (6, np.rot90(GREY, -1)), (8, np.rot90(GREY))],
)
def test_an_image_is_turned_upright_by_its_exif_orientation(
    orientation: int, upright: np.ndarray[tuple[int, int], np.dtype[np.uint8]]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = pixels(encode(GREY, "JPEG", quality=100, exif=exif))[:, :, 0]
    assert np.abs(found.astype(int) - upright).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("written", ["exif", "xmp"])
def test_every_format_is_turned_by_either_metadata(kind: str, written: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, object] = {"quality": 100, "lossless": True}
    options |= {"exif": exif} if written == "exif" else {"xmp": XMP}
    if kind == "PNG":
        texts = options["pnginfo"] = PngImagePlugin.PngInfo()
        if written == "xmp":
            texts.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    found = pixels(encode(GREY, kind, **options))[:, :, 0]
    assert np.abs(found.astype(int) - np.rot90(GREY, -1)).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_metadata_is_not_read_through(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would keep every metadata value as a Python object, half a minute for a 10 MB file."""
    read: list[int] = []
    load = TiffImagePlugin.ImageFileDirectory_v2.load

    def noted(self: TiffImagePlugin.ImageFileDirectory_v2, file: IO[bytes]) -> None:
        read.append(len(file.read()))
        file.seek(self.next)
        load(self, file)

    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010E: "x" * 60_000})
    body = encode(GREY, kind, exif=exif)
    monkeypatch.setattr(TiffImagePlugin.ImageFileDirectory_v2, "load", noted)
    assert pixels(body).shape == (8, 8, 1)
    assert max(read) < 100


def test_the_size_is_compared_after_turning_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = InputSpec(height=8, width=4, channels=1, mean=[0], std=[1], layout="nchw", resize="exact")
    assert pixels(encode(GREY[:4], "JPEG", exif=exif), wide).shape == (8, 4, 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("junk", [bytes(40), b"??*\0" + bytes(20), b"II*\0\xff\xff\xff\xff", b"x"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's, where the caller opened the image
def test_a_whole_picture_with_damaged_exif_is_read(kind: str, junk: bytes) -> None:
    """Every other program shows it, and it lies in the folders that stores are built from."""
    exif = Image.Exif()
    exif[0x0112] = 6
    parts = read(encode(GREY, kind, exif=exif, quality=100, lossless=True))
    assert parts is not None
    part = next(part for part in parts.parts if part.kind in (b"eXIf", b"EXIF", b"\xe1"))
    part.content = (b"Exif\0\0" if kind == "JPEG" else b"") + junk
    body = parts.file()
    found = pixels(body)[:, :, 0]
    assert np.abs(found.astype(int) - GREY).max() <= 4
    with Image.open(io.BytesIO(body)) as opened:
        assert (convert(opened, spec(), MAX_PIXELS)[:, :, 0] == found).all()


def test_another_size_is_refused_with_both_sizes_and_the_remedy() -> None:
    with pytest.raises(BadImageError, match=r"is 12×10 pixels .* takes exactly 8×8; .*--resize bilinear"):
        pixels(encode(np.zeros((10, 12), np.uint8)))


def test_another_size_is_resampled_where_the_store_says_so() -> None:
    body = encode(np.kron(GREY, np.ones((4, 4), np.uint8)))
    found = pixels(body, spec(resize="bilinear"))[:, :, 0].astype(int)
    assert found.shape == (8, 8)
    assert np.abs(found[1:-1, 1:-1] - GREY[1:-1, 1:-1]).max() <= 8


def test_the_right_size_is_never_resampled() -> None:
    assert (pixels(encode(GREY), spec(resize="bilinear"))[:, :, 0] == GREY).all()


def test_grey_becomes_three_equal_channels() -> None:
    assert (pixels(encode(GREY), spec(3)) == GREY[:, :, None]).all()


def test_colour_becomes_luma() -> None:
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    assert np.abs(pixels(encode(COLOUR))[:, :, 0] - luma).max() <= 1


def test_a_cmyk_jpeg_is_converted() -> None:
    flat = np.full((8, 8, 3), (200, 120, 40), np.uint8)
    found = pixels(encode(Image.fromarray(flat).convert("CMYK"), "JPEG", quality=100), spec(3))
    assert np.abs(found.astype(int) - flat).max() <= 6


def _damaged(seed: int) -> bytes:
    random = drawing(seed)
    return mutate(random.choice(CORPUS), random)


@given(st.binary(max_size=300) | st.integers(0, 1 << 32).map(_damaged), st.sampled_from([1, 3]))
@settings(max_examples=600, deadline=None, derandomize=True)
@pytest.mark.filterwarnings("ignore")  # Pillow warns of damage that it skips
def test_no_bytes_raise_anything_but_bad_image(body: bytes, channels: Literal[1, 3]) -> None:
    for resize in ("exact", "bilinear"):
        try:
            found = pixels(body, spec(channels, resize))
        except BadImageError as error:
            assert str(error)
        else:
            assert found.shape == (8, 8, channels)
